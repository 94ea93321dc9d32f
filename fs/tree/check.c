/* A debug check of everything that must hold in the tree's database. */
#include "fs/tree/check.h"

#include "base/log.h"
#include "base/text.h"
#include "fs/tree/inside.h"

#include <string.h>

/* Each query finds what must not be. */
static const struct {
    const char *rule, *sql;
} rules[] = {
    {"there is one root",
     "SELECT 0 WHERE (SELECT count(*) FROM node WHERE ino=1 AND parent=0 AND type=2 AND rkey='')<>1"},
    {"a parent is a folder with a name",
     "SELECT child.ino FROM node child LEFT JOIN node folder ON folder.ino=child.parent WHERE child.parent<>0"
     " AND (folder.ino IS NULL OR folder.type<>2 OR (folder.parent=0 AND folder.ino<>1))"},
    {"a held key lies in a folder with a name",
     "SELECT child.ino FROM node child LEFT JOIN node folder ON folder.ino=child.holder WHERE child.holder<>0"
     " AND (child.parent<>0 OR child.tail IS NULL OR folder.ino IS NULL OR folder.type<>2"
     " OR (folder.parent=0 AND folder.ino<>1))"},
    {"a name is not empty and has no slash",
     "SELECT ino FROM node WHERE parent<>0 AND (name='' OR instr(name,'/') OR name IN ('.','..'))"},
    {"folders are counted", "SELECT ino FROM node WHERE type=2 AND (parent<>0 OR ino=1) AND folders<>"
                            "(SELECT count(*) FROM node child WHERE child.parent=node.ino AND child.type=2)"},
    {"a node without a name has no work, key or children",
     "SELECT ino FROM node WHERE parent=0 AND holder=0 AND ino<>1 AND (work<>0 OR owns<>0)"},
    {"a folder with a name has a prefix", "SELECT ino FROM node WHERE type=2 AND holder=0 AND (parent<>0 OR ino=1)"
                                          " AND (rkey IS NULL OR owns<>1 OR (rkey<>'' AND substr(rkey,-1)<>'/'))"},
    {"a key is one object's", "SELECT min(ino) FROM node WHERE owns=1 AND type<>2 GROUP BY rkey HAVING count(*)>1"},
    {"a marker is one folder's",
     "SELECT min(ino) FROM node WHERE owns=1 AND type=2 AND retag IS NOT NULL GROUP BY rkey HAVING count(*)>1"},
    {"what is owned has a key", "SELECT ino FROM node WHERE owns=1 AND rkey IS NULL"},
    {"an object has an ETag", "SELECT ino FROM node WHERE owns=1 AND type<>2 AND retag IS NULL"},
    {"what is to be moved is somewhere", "SELECT ino FROM node WHERE work&4 AND rkey IS NULL"},
    {"metadata is stored with an object",
     "SELECT ino FROM node WHERE work&2 AND retag IS NULL AND NOT work&1"
     " AND NOT EXISTS (SELECT 1 FROM node s WHERE s.holder=node.ino AND s.tail='')"},
    {"what the bucket does not have is to be put",
     "SELECT ino FROM node WHERE parent<>0 AND type<>2 AND owns=0 AND NOT work&5"},
    {"a file's content is in the bucket or in a spool",
     "SELECT ino FROM node WHERE parent<>0 AND type=1 AND spool=0 AND (rkey IS NULL OR (work&1 AND generation>0))"},
    {"a spool is of a file to be put", "SELECT ino FROM node WHERE parent<>0 AND spool<>0 AND (type<>1 OR NOT work&1)"},
    {"one spool belongs to one file", "SELECT min(ino) FROM node WHERE spool<>0 GROUP BY spool HAVING count(*)>1"},
    {"a removed key is nobody's",
     "SELECT node.ino FROM gone JOIN node ON node.rkey=gone.key AND node.owns=1 WHERE gone.done=0"
     " AND (node.type<>2 OR node.retag IS NOT NULL)"},
    {"only folders with a name expand", "SELECT ino FROM node WHERE expanding<>0 AND (type<>2 OR parent=0)"},
    {"an attempt has its node", "SELECT ino FROM attempt WHERE ino NOT IN (SELECT ino FROM node)"},
    {"a part has its attempt", "SELECT ino FROM part WHERE ino NOT IN (SELECT ino FROM attempt)"},
    {"numbers are set aside", "SELECT max(ino) FROM node HAVING max(ino)>=(SELECT value FROM meta WHERE name='ino')"},
    {"changes are set aside",
     "SELECT max(change) FROM node HAVING max(change)>(SELECT value FROM meta WHERE name='change')"},
};

static int check_rules(struct tree *tree) {
    int result = 0;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        AUTO_ROW sqlite3_stmt *row = NULL;
        int r = tree_sql_row(&tree->sql, &row, rules[i].sql, WITHOUT);
        if (r < 0)
            return r;
        if (!r)
            continue;
        log_error("the tree's rule \"%s\" does not hold for %lld", rules[i].rule, (long long)tree_sql_number(row, 0));
        result = -EBADMSG;
    }
    return result;
}

/* A clean file without a made-up name is at its path, but for what lies in a folder that is still to be moved. */
static int check_places(struct tree *tree) {
    AUTO_ROW sqlite3_stmt *from = NULL;
    int result = 0;
    int r = tree_sql_row(&tree->sql, &from,
                         "WITH RECURSIVE settled(ino) AS (VALUES(1) UNION ALL SELECT node.ino FROM settled"
                         " CROSS JOIN node ON node.parent=settled.ino AND node.parent<>0 WHERE node.type=2"
                         " AND NOT node.work&4) SELECT " ROW_COLUMNS
                         " FROM node WHERE parent IN (SELECT ino FROM settled) AND NOT work&4 AND owns=1",
                         WITHOUT);
    for (; r > 0; r = tree_sql_next(&tree->sql, from)) {
        AUTO_FREE char *target = NULL;
        struct tree_row row;
        tree_row_borrow(tree, from, &row);
        r = tree_path_target(tree, &row, &target);
        if (r)
            return r;
        if (strcmp(target, row.node.remote.key) == 0)
            continue;
        log_error("the tree: node %llu belongs at '%s', is at '%s', and has no work", (unsigned long long)row.node.ino,
                  target, row.node.remote.key);
        result = -EBADMSG;
    }
    return r < 0 ? r : result;
}

int tree_check(struct tree *tree) {
    int64_t fine;
    tree_lock(tree);
    int r = check_rules(tree);
    if (!r)
        r = check_places(tree);
    int damaged = tree_sql_integer(&tree->sql, &fine, 0,
                                   "SELECT count(*) FROM pragma_quick_check WHERE quick_check='ok'", WITHOUT);
    tree_unlock(tree);
    return r ? r : damaged ? damaged : fine == 1 ? 0 : -EBADMSG;
}
