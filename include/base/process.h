/* What a process that holds secrets does first. */
#pragma once

/* No core dump, no debugger of the same user: called by main before any secret is read. Under a sanitizer the process
 * stays traceable, since the leak check traces it. */
void process_protect_secrets(void);
