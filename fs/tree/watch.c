/* Transactions, and the news that is told after them, without the lock. */
#include "fs/tree/inside.h"

void tree_lock(struct tree *tree) {
    pthread_mutex_lock(&tree->lock);
}

void tree_unlock(struct tree *tree) {
    pthread_mutex_unlock(&tree->lock);
}

int tree_begin(struct tree *tree) {
    tree_lock(tree);
    int r = tree_sql_run(&tree->sql, "BEGIN IMMEDIATE", WITHOUT);
    if (r)
        tree_unlock(tree);
    return r;
}

void tree_events_finish(struct tree_events *events) {
    for (size_t i = 0; i < events->count; i++) {
        free(events->items[i].name);
        free(events->items[i].copy_name);
    }
    free(events->items);
    *events = (struct tree_events){0};
}

static void tell_one(const struct tree_watch *watch, const struct tree_event *event) {
    void *context = watch->context;
    switch (event->kind) {
    case EVENT_ENTRY:
        if (watch->entry_changed)
            watch->entry_changed(context, event->parent, event->name);
        break;
    case EVENT_GONE:
        if (watch->entry_gone)
            watch->entry_gone(context, event->parent, event->name, event->ino);
        break;
    case EVENT_ATTRIBUTES:
        if (watch->attributes_changed)
            watch->attributes_changed(context, event->ino);
        break;
    case EVENT_TAKEN_OVER:
        if (watch->work_went_over)
            watch->work_went_over(context, event->ino);
        break;
    case EVENT_CONFLICT:
        if (watch->conflict)
            watch->conflict(context, event->parent, event->name, event->copy_name);
        break;
    case EVENT_WORK:
        if (watch->work_added)
            watch->work_added(context);
        break;
    }
}

/* Under lock. */
static void tell_taken_over(struct tree *tree, const struct tree_events *events) {
    for (size_t i = 0; i < events->count; i++) {
        const struct tree_event *event = &events->items[i];
        for (size_t w = 0; event->kind == EVENT_TAKEN_OVER && w < tree->watch_count; w++)
            if (tree->watches[w].work_taken_over)
                tree->watches[w].work_taken_over(tree->watches[w].context, event->parent, event->ino);
    }
}

static void tell_all(struct tree *tree, const struct tree_events *events) {
    static const struct tree_event work = {.kind = EVENT_WORK};
    for (size_t w = 0; w < tree->watch_count; w++) {
        for (size_t i = 0; i < events->count; i++)
            tell_one(&tree->watches[w], &events->items[i]);
        if (events->work)
            tell_one(&tree->watches[w], &work);
    }
}

/* Numbers set aside in a transaction that was taken back are not set aside. */
static void take_back(struct tree *tree) {
    if (!sqlite3_get_autocommit(tree->sql.db))
        tree_sql_run(&tree->sql, "ROLLBACK", WITHOUT);
    tree->ino_limit = tree->next_ino;
    tree->change_limit = tree->change;
    tree_move_take_back(tree);
}

int tree_end(struct tree *tree, int result) {
    if (!result)
        result = tree_sql_run(&tree->sql, "COMMIT", WITHOUT);
    if (result)
        take_back(tree);
    tree->walking = NULL;
    struct tree_events events = tree->events;
    tree->events = (struct tree_events){0};
    if (!result)
        tell_taken_over(tree, &events);
    tree_unlock(tree);
    if (!result)
        tell_all(tree, &events);
    tree_events_finish(&events);
    return result;
}

static int add(struct tree *tree, struct tree_event event, const char *name, const char *copy_name) {
    struct tree_events *events = &tree->events;
    if (events->count == events->capacity) {
        size_t capacity = events->capacity ? events->capacity * 2 : 8;
        struct tree_event *items = realloc(events->items, capacity * sizeof *items);
        if (!items)
            return -ENOMEM;
        events->items = items;
        events->capacity = capacity;
    }
    event.name = name ? strdup(name) : NULL;
    event.copy_name = copy_name ? strdup(copy_name) : NULL;
    if ((name && !event.name) || (copy_name && !event.copy_name)) {
        free(event.name);
        free(event.copy_name);
        return -ENOMEM;
    }
    events->items[events->count++] = event;
    return 0;
}

int tree_tell(struct tree *tree, enum tree_event_kind kind, uint64_t parent, const char *name, uint64_t ino) {
    return tree->watch_count ? add(tree, (struct tree_event){.kind = kind, .parent = parent, .ino = ino}, name, NULL)
                             : 0;
}

int tree_tell_conflict(struct tree *tree, uint64_t parent, const char *name, const char *copy_name) {
    return add(tree, (struct tree_event){.kind = EVENT_CONFLICT, .parent = parent}, name, copy_name);
}

void tree_tell_work(struct tree *tree) {
    tree->events.work = true;
}

int tree_observe(struct tree *tree, const struct tree_watch *watch) {
    int r = 0;
    tree_lock(tree);
    if (tree->watch_count < sizeof tree->watches / sizeof *tree->watches)
        tree->watches[tree->watch_count++] = *watch;
    else
        r = -ENOSPC;
    tree_unlock(tree);
    return r;
}
