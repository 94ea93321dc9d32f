/* Looking at accounts, and what is done to one. */
#include "s3/server/admin.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/size.h"
#include "base/text.h"
#include "s3/server/admin_bucket.h"
#include "s3/server/config.h"
#include "s3/server/users.h"

#include <stdio.h>
#include <string.h>

DEFINE_CLEANUP(struct users *, users_close)

static const char *const states[] = {"reserved", "created", "configured", "ready"};

static const char *state_of(const struct user *user) {
    return user->removing_s  ? "removing"
           : user->suspended ? "suspended"
           : user->missing_s ? "missing"
                             : states[user->state];
}

static int add_identity(void *context, const char *issuer, const char *subject) {
    struct json *identity = json_object();
    json_add_text(identity, "issuer", issuer);
    json_add_text(identity, "subject", subject);
    return json_push(context, identity);
}

static struct json *describe(const struct user *user) {
    struct json *object = json_object();
    char created[25], seen[25], missing[25], counted[25];
    clock_format_iso8601(user->created_s, created);
    clock_format_iso8601(user->seen_s, seen);
    clock_format_iso8601(user->counted_s, counted);
    json_add_text(object, "account", user->name);
    json_add_text(object, "email", user->email);
    json_add_text(object, "state", state_of(user));
    json_add_text(object, "bucket", user->bucket);
    json_add_text(object, "prefix", user->prefix);
    json_add_text(object, "region", user->region);
    json_add_text(object, "issuer", user->issuer);
    json_add_text(object, "subject", user->subject);
    json_add_integer(object, "quota", user->quota);
    json_add_integer(object, "used", user->used);
    json_add_integer(object, "used_old", user->used_old);
    json_add_text(object, "counted", user->counted_s ? counted : NULL);
    json_add_boolean(object, "versioning", user->versioned_at_s != 0);
    if (user->missing_s) {
        clock_format_iso8601(user->missing_s, missing);
        json_add_text(object, "missing", missing);
    }
    json_add_text(object, "created", created);
    json_add_text(object, "seen", seen);
    return object;
}

struct listing {
    struct users *users; /* borrowed */
    struct json *array;  /* owned; NULL: as text */
    size_t count;
    bool whole; /* every field, for one account */
};

/* Emails and subjects come from outside: nothing in them may steer a terminal. */
static void print_safe(const char *text) {
    for (; *text; text++)
        putchar((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
}

static void print_line(const char *name, const char *value) {
    printf("%-10s ", name);
    print_safe(value);
    putchar('\n');
}

static int print_identity(void *context, const char *issuer, const char *subject) {
    (void)context;
    print_line("issuer", issuer);
    print_line("subject", subject);
    return 0;
}

static void print_use(const char *name, int64_t used, int64_t quota) {
    char much[16], limit[16], text[48];
    snprintf(text, sizeof text, "%s of %s", size_format((uint64_t)used, much), size_format((uint64_t)quota, limit));
    print_line(name, text);
}

static void print_quota(const struct user *user) {
    if (!user->quota) {
        print_line("quota", "none");
        return;
    }
    print_use("quota", user->used, user->quota);
    print_use("old", user->used_old, user->quota); /* versions and unfinished uploads: their own limit */
}

static void print_whole(const struct user *user) {
    char created[25], seen[25], missing[25];
    clock_format_iso8601(user->created_s, created);
    clock_format_iso8601(user->seen_s, seen);
    print_line("email", user->email);
    print_line("account", user->name);
    print_line("state", state_of(user));
    print_line("bucket", user->bucket);
    if (*user->prefix)
        print_line("prefix", user->prefix);
    if (user->missing_s) {
        clock_format_iso8601(user->missing_s, missing);
        print_line("missing", missing);
    }
    print_line("region", user->region);
    print_quota(user);
    print_line("versions", user->versioned_at_s ? "kept" : "none");
    print_line("created", created);
    print_line("seen", seen);
}

static int push_account(const struct listing *listing, const struct user *user) {
    struct json *object = describe(user), *identities = json_array();
    int error = listing->whole ? users_each_identity(listing->users, user->id, add_identity, identities, NULL) : 0;
    if (listing->whole)
        json_add(object, "identities", identities);
    else
        json_destroy(identities);
    int pushed = json_push(listing->array, object);
    return error ? error : pushed;
}

static int visit(void *context, const struct user *user) {
    struct listing *listing = context;
    listing->count++;
    if (listing->array)
        return push_account(listing, user);
    if (listing->whole) {
        print_whole(user);
        return users_each_identity(listing->users, user->id, print_identity, NULL, NULL);
    }
    char seen[25], used[16], quota[16];
    clock_format_iso8601(user->seen_s, seen);
    print_safe(user->email);
    printf("\t%s\t%s\t%.10s\t", state_of(user), user->bucket, seen);
    if (user->quota)
        printf("%s of ", size_format((uint64_t)user->used, used));
    printf("%s\n", user->quota ? size_format((uint64_t)user->quota, quota) : "-");
    return 0;
}

static int print_json(const struct json *value) {
    AUTO_FREE char *text = json_print_pretty(value);
    if (!text)
        return -ENOMEM;
    puts(text);
    return 0;
}

static int list(struct users *users, const char *account, bool as_json, struct fault *fault) {
    struct listing listing = {.users = users, .whole = account != NULL};
    AUTO_JSON struct json *array = as_json ? json_array() : NULL;
    if (as_json && !array)
        return -ENOMEM;
    listing.array = array;
    int error = users_each(users, account, visit, &listing, fault);
    if (error)
        return error;
    if (account && !listing.count)
        return fault_set(fault, -ENOENT, "there is no account \"%s\": pail users list shows them", account);
    if (!as_json)
        return 0;
    return print_json(account ? json_first(array) : array);
}

/* Takes a flag out of the arguments. */
static bool take_flag(int *count, char **arguments, const char *name) {
    int kept = 0;
    for (int i = 0; i < *count; i++)
        if (strcmp(arguments[i], name) != 0)
            arguments[kept++] = arguments[i];
    bool found = kept < *count;
    *count = kept;
    return found;
}

/* The same with the argument behind it; NULL: it is not there, or nothing is behind it, which then stays. */
static const char *take_value(int *count, char **arguments, const char *name) {
    for (int i = 0; i + 1 < *count; i++) {
        if (strcmp(arguments[i], name) != 0)
            continue;
        const char *value = arguments[i + 1];
        memmove(arguments + i, arguments + i + 2, (size_t)(*count - i - 2) * sizeof *arguments);
        *count -= 2;
        return value;
    }
    return NULL;
}

/* Each verb, with the words that stand behind it. */

struct order {
    const struct config *config; /* borrowed, as all */
    struct users *users;
    char **words;
    bool as_json;
    bool delete_bucket;
    const char *confirm; /* NULL: not told */
};

static int do_list(const struct order *order, struct fault *fault) {
    return list(order->users, NULL, order->as_json, fault);
}

static int do_show(const struct order *order, struct fault *fault) {
    return list(order->users, order->words[0], order->as_json, fault);
}

static int do_suspend(const struct order *order, struct fault *fault) {
    return users_suspend(order->users, order->words[0], true, fault);
}

static int do_resume(const struct order *order, struct fault *fault) {
    return users_suspend(order->users, order->words[0], false, fault);
}

static int do_quota(const struct order *order, struct fault *fault) {
    uint64_t bytes = 0;
    const char *size = order->words[1];
    if (strcmp(size, "none") != 0 && (size_parse(size, &bytes) || !bytes))
        return fault_set(fault, -EINVAL, "\"%s\" is no quota: write a size such as \"10 GiB\", or none", size);
    return users_set_quota(order->users, order->words[0], (int64_t)bytes, fault);
}

static int do_link(const struct order *order, struct fault *fault) {
    const char *issuer = order->config->issuer;
    if (issuer && !text_equal(issuer, order->words[1]))
        return fault_set(fault, -EINVAL, "\"%s\" is not this server's login provider, which is \"%s\", exactly",
                         order->words[1], issuer);
    return users_link(order->users, order->words[1], order->words[2], order->words[0], fault);
}

static int do_remove(const struct order *order, struct fault *fault) {
    if (order->delete_bucket)
        return admin_bucket_remove(order->config, order->users, order->words[0], order->confirm, fault);
    return users_remove(order->users, order->words[0], fault);
}

static int do_new_bucket(const struct order *order, struct fault *fault) {
    return admin_bucket_renew(order->config, order->users, order->words[0], fault);
}

static int do_backup(const struct order *order, struct fault *fault) {
    return users_backup(order->users, order->words[0], fault);
}

static const struct verb {
    const char *name;
    int words;
    int (*run)(const struct order *order, struct fault *fault);
} verbs[] = {
    {"list", 0, do_list},   {"show", 1, do_show},     {"suspend", 1, do_suspend}, {"resume", 1, do_resume},
    {"link", 3, do_link},   {"remove", 1, do_remove}, {"backup", 1, do_backup},   {"new-bucket", 1, do_new_bucket},
    {"quota", 2, do_quota},
};

static const struct verb *find_verb(int count, char **arguments) {
    for (size_t i = 0; count && i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(verbs[i].name, arguments[0]) && verbs[i].words == count - 1)
            return &verbs[i];
    return NULL;
}

int admin_users(const struct config *config, int count, char **arguments, struct fault *fault) {
    struct order order = {
        .config = config,
        .as_json = take_flag(&count, arguments, "--json"),
        .delete_bucket = take_flag(&count, arguments, "--delete-bucket"),
        .confirm = take_value(&count, arguments, "--confirm"),
    };
    const struct verb *verb = find_verb(count, arguments);
    if (!verb || (order.delete_bucket && verb->run != do_remove) || (order.confirm && !order.delete_bucket))
        return fault_set(fault, -EINVAL,
                         "usage: pail users list [--json] | show ACCOUNT [--json] | suspend ACCOUNT | resume ACCOUNT | "
                         "quota ACCOUNT SIZE|none | link EMAIL ISSUER SUBJECT | remove ACCOUNT [--delete-bucket "
                         "[--confirm BUCKET]] | new-bucket "
                         "ACCOUNT | backup FILE");
    if (access(config->database, F_OK))
        return fault_set(fault, -ENOENT, "[server] database = \"%s\" is not there: name the server's own file",
                         config->database);
    CLEANUP(users_close_p) struct users *users = NULL;
    int error = users_open(&users, config->database, fault);
    if (error)
        return error;
    order.users = users;
    order.words = arguments + 1;
    return verb->run(&order, fault);
}
