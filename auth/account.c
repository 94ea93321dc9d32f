/* The accounts this user has logged in to: a folder with account.json for each, the name of the current one, and the
 * issuer that each server had. */
#include "auth/account.h"

#include "auth/fetch.h"
#include "auth/pkce.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_FILE = 64 << 10, ID_DIGITS = 12, MAX_HOST = 200 };

static const char *const vault_names[] = {
    [ACCOUNT_VAULT_SECRET_SERVICE] = "secret-service",
    [ACCOUNT_VAULT_FILE] = "file",
    [ACCOUNT_VAULT_MEMORY] = "memory",
};
enum { VAULT_KINDS = sizeof vault_names / sizeof *vault_names };

void account_finish(struct account *account) {
    char *texts[] = {account->id,       account->server,       account->issuer,      account->client_id,
                     account->audience, account->scopes,       account->subject,     account->email,
                     account->ca_file,  account->state_folder, account->cache_folder};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
    *account = (struct account){0};
}

/* The name of an account's folder: for people to recognise, and never anything but one path component. */
static char *folder_name(const struct account *account) {
    AUTO_BUFFER struct buffer all = {0};
    const char *parts[] = {account->server, account->issuer, account->subject};
    char digits[ID_DIGITS + 1];
    int r = 0;
    for (size_t i = 0; i < 3 && !r; i++)
        r = buffer_append(&all, parts[i], strlen(parts[i]) + 1);
    if (r || pkce_hash_hex(all.data, all.size, digits, ID_DIGITS))
        return NULL;
    AUTO_FREE char *origin = fetch_url_origin(account->server);
    char *host = origin ? strstr(origin, "://") + 3 : (char[]){""};
    for (char *at = host; *at; at++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789.-", *at))
            *at = *at == ':' && at[strspn(at + 1, "0123456789") + 1] == 0 ? 0 : '-';
    return text_format("%.*s-%s", MAX_HOST, host + strspn(host, "."), digits);
}

int account_derive(struct account *account) {
    free(TAKE(account->id));
    free(TAKE(account->state_folder));
    free(TAKE(account->cache_folder));
    account->id = folder_name(account);
    if (!account->id)
        return -ENOMEM;
    int r = file_xdg("state", account->id, &account->state_folder);
    return r ? r : file_xdg("cache", account->id, &account->cache_folder);
}

/* Files. */

static int write_below_state(const char *name, const char *text) {
    AUTO_FREE char *folder = NULL, *path = NULL;
    int r = file_xdg("state", NULL, &folder);
    if (!r)
        r = file_make_folders(folder, 0700);
    if (r)
        return r;
    path = text_format("%s/%s", folder, name);
    return path ? file_replace(path, 0600, text, strlen(text)) : -ENOMEM;
}

static int read_below_state(const char *name, char **text) {
    AUTO_FREE char *path = NULL;
    size_t size;
    int r = file_xdg("state", name, &path);
    return r ? r : file_read(path, MAX_FILE, text, &size);
}

static int read_issuers(struct json **out) {
    AUTO_FREE char *text = NULL;
    int r = read_below_state("issuers.json", &text);
    if (!r)
        r = json_parse(out, text, strlen(text));
    if (!r && !json_is_object(*out)) {
        json_destroy(TAKE(*out));
        r = -EBADMSG;
    }
    return r;
}

int account_known_issuer(const char *server, char **issuer) {
    AUTO_JSON struct json *known = NULL;
    int r = read_issuers(&known);
    if (r)
        return r;
    const char *text = json_get_text(known, server);
    if (!text)
        return -ENOENT;
    *issuer = strdup(text);
    return *issuer ? 0 : -ENOMEM;
}

/* A damaged list is an error, not an empty one: it guards against a changed issuer. */
static int remember_issuer(const char *server, const char *issuer) {
    AUTO_JSON struct json *known = NULL, *next = json_object();
    int r = read_issuers(&known);
    if (r && r != -ENOENT)
        return r;
    for (const struct json *item = json_first(known); item; item = json_next(item))
        if (strcmp(json_name(item), server) != 0)
            json_add_text(next, json_name(item), json_text(item));
    r = json_add_text(next, server, issuer);
    AUTO_FREE char *text = r ? NULL : json_print_pretty(next);
    return text ? write_below_state("issuers.json", text) : -ENOMEM;
}

static char *account_print(const struct account *account) {
    AUTO_JSON struct json *json = json_object();
    json_add_integer(json, "version", 1);
    json_add_text(json, "server", account->server);
    json_add_text(json, "issuer", account->issuer);
    json_add_text(json, "client_id", account->client_id);
    json_add_text(json, "audience", account->audience);
    json_add_text(json, "scopes", account->scopes);
    json_add_text(json, "subject", account->subject);
    json_add_text(json, "email", account->email);
    json_add_text(json, "ca_file", account->ca_file);
    return json_add_text(json, "vault", vault_names[account->vault]) ? NULL : json_print_pretty(json);
}

static int copy_members(const struct json *json, struct account *out) {
    const struct {
        const char *name;
        char **to;
        bool needed;
    } members[] = {
        {"server", &out->server, true},     {"issuer", &out->issuer, true},    {"client_id", &out->client_id, true},
        {"audience", &out->audience, true}, {"scopes", &out->scopes, true},    {"subject", &out->subject, true},
        {"email", &out->email, false},      {"ca_file", &out->ca_file, false},
    };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const char *text = json_get_text(json, members[i].name);
        if (!text && members[i].needed)
            return -EBADMSG;
        if (text && !(*members[i].to = strdup(text)))
            return -ENOMEM;
    }
    return 0;
}

static int account_parse(const char *text, struct account *out) {
    AUTO_JSON struct json *json = NULL;
    int r = json_parse(&json, text, strlen(text));
    if (!r && json_get_integer(json, "version", 0) != 1)
        r = -EBADMSG;
    if (!r)
        r = copy_members(json, out);
    if (r)
        return r;
    const char *vault = json_get_text(json, "vault");
    for (int kind = 0; kind < VAULT_KINDS; kind++)
        if (text_equal(vault, vault_names[kind])) {
            out->vault = (enum account_vault)kind;
            return 0;
        }
    return -EBADMSG;
}

/* The folder's name must be what the content makes of it: a copied or renamed one is not ours. */
static int load_folder(const char *name, struct account *out) {
    *out = (struct account){0};
    AUTO_FREE char *path = text_format("%s/account.json", name), *text = NULL;
    if (!path)
        return -ENOMEM;
    int r = read_below_state(path, &text);
    if (!r)
        r = account_parse(text, out);
    if (!r)
        r = account_derive(out);
    if (!r && strcmp(out->id, name) != 0)
        r = -EBADMSG;
    if (r)
        account_finish(out);
    return r;
}

int account_save(struct account *account, struct fault *fault) {
    int r = account_derive(account);
    if (!r)
        r = file_make_folders(account->state_folder, 0700);
    AUTO_FREE char *text = account_print(account), *path = text_format("%s/account.json", account->id);
    if (!r && (!text || !path))
        r = -ENOMEM;
    if (!r)
        r = remember_issuer(account->server, account->issuer);
    if (!r)
        r = write_below_state(path, text);
    if (r)
        fault_set(fault, r, "the account cannot be kept in %s: %s",
                  account->state_folder ? account->state_folder : "the state folder", error_text(r));
    return r ? r : account_make_current(account, fault);
}

int account_make_current(const struct account *account, struct fault *fault) {
    int r = write_below_state("current", account->id);
    return r ? fault_set(fault, r, "it cannot be noted which account is the current one: %s", error_text(r)) : 0;
}

bool account_is_current(const struct account *account) {
    AUTO_FREE char *current = NULL;
    return !read_below_state("current", &current) && strcmp(current, account->id) == 0;
}

/* Finding. */

static int is_account(const struct dirent *entry) {
    AUTO_FREE char *below = text_format("%s/account.json", entry->d_name), *path = NULL;
    return entry->d_name[0] != '.' && below && !file_xdg("state", below, &path) && access(path, R_OK) == 0;
}

static void free_names(struct dirent **names, int count) {
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

int account_list(struct account **out, size_t *count) {
    *out = NULL;
    *count = 0;
    AUTO_FREE char *folder = NULL;
    int r = file_xdg("state", NULL, &folder);
    if (r)
        return r;
    struct dirent **names = NULL;
    int found = scandir(folder, &names, is_account, alphasort);
    if (found < 0)
        return errno == ENOENT ? 0 : -errno;
    *out = calloc((size_t)found + 1, sizeof **out);
    if (!*out)
        r = -ENOMEM;
    for (int i = 0; i < found && !r; i++)
        if (!load_folder(names[i]->d_name, &(*out)[*count]))
            ++*count; /* what cannot be read is no account */
    free_names(names, found);
    return r;
}

static bool is_called(const struct account *account, const char *name) {
    size_t size = strlen(account->server);
    bool server = !strncmp(account->server, name, size) && (!name[size] || !strcmp(name + size, "/"));
    const char *host = strstr(account->server, "://");
    return server || !strcmp(account->id, name) || text_equal(account->email, name) ||
           (host && !strcmp(host + 3, name));
}

static int choose(struct account *all, size_t count, const char *name, struct account *out, struct fault *fault) {
    struct account *found = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!is_called(&all[i], name))
            continue;
        if (found)
            return fault_set(fault, -ENOTUNIQ, "several accounts match '%s'; name one by its id, such as %s", name,
                             found->id);
        found = &all[i];
    }
    if (!found)
        return fault_set(fault, -ENOENT, "no account matches '%s'; `pail login SERVER` makes one", name);
    *out = *found;
    *found = (struct account){0};
    return 0;
}

static void free_list(struct account *all, size_t count) {
    for (size_t i = 0; i < count; i++)
        account_finish(&all[i]);
    free(all);
}

static int tell_none(struct fault *fault) {
    struct account *all;
    size_t count;
    if (account_list(&all, &count))
        count = 0;
    free_list(all, count);
    if (!count)
        return fault_set(fault, -ENOENT, "nobody is logged in; run 'pail login SERVER'");
    return fault_set(fault, -ENOENT,
                     "several are logged in, and none is the current one: 'pail whoami --all' lists them, "
                     "'pail login ACCOUNT' chooses one");
}

static int load_current(struct account *out, struct fault *fault) {
    AUTO_FREE char *name = NULL;
    int r = read_below_state("current", &name);
    if (!r && (strchr(name, '/') || !*name || *name == '.'))
        r = -ENOENT;
    if (!r)
        r = load_folder(name, out);
    if (r == -ENOENT)
        return tell_none(fault);
    return r ? fault_set(fault, r, "the kept account cannot be read (%s); run 'pail login SERVER'", error_text(r)) : 0;
}

int account_load(struct account *out, const char *id, struct fault *fault) {
    *out = (struct account){0};
    if (!id)
        return load_current(out, fault);
    struct account *all;
    size_t count;
    int r = account_list(&all, &count);
    if (r)
        return fault_set(fault, r, "the kept accounts cannot be read: %s", error_text(r));
    r = choose(all, count, id, out, fault);
    free_list(all, count);
    return r;
}

/* Who has one account left does not want to be asked which. */
static int leave_current(void) {
    AUTO_FREE char *path = NULL;
    struct account *all;
    size_t count;
    int r = file_xdg("state", "current", &path);
    if (!r)
        r = account_list(&all, &count);
    if (r)
        return r;
    if (count == 1)
        r = account_make_current(&all[0], NULL);
    else if (unlink(path) && errno != ENOENT)
        r = -errno;
    free_list(all, count);
    return r;
}

int account_forget(const struct account *account) {
    AUTO_FREE char *path = text_format("%s/account.json", account->state_folder);
    if (!path)
        return -ENOMEM;
    bool current = account_is_current(account);
    if (unlink(path) && errno != ENOENT)
        return -errno;
    return current ? leave_current() : 0;
}
