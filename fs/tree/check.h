/* A debug check of everything that must hold in the tree's database; for tests. */
#pragma once

struct tree;

/* 0, or -EBADMSG after a line in the log for each rule that does not hold. */
int tree_check(struct tree *tree);
