/* The page that the browser shows at the end of a login. Thread-safe. */
#pragma once

#include <stdbool.h>

/* HTML; every text is escaped. detail (NULL: none) is a second, smaller line. The caller frees; NULL without memory. */
char *page_render(bool good, const char *title, const char *text, const char *detail);
