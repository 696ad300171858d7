#include <stdio.h>

#include "jepsen/check.h"

void verdict_add(struct verdict *v, const char *name, const char *fmt, ...)
{
    if (v->n < VERDICT_ANOMALIES) {
        struct anomaly *a = &v->anomalies[v->n];
        snprintf(a->name, sizeof a->name, "%s", name);
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(a->text, sizeof a->text, fmt, ap);
        va_end(ap);
    }
    v->n++;
}

bool verdict_has(const struct verdict *v, const char *name)
{
    for (size_t i = 0; i < v->n && i < VERDICT_ANOMALIES; i++)
        if (!strcmp(v->anomalies[i].name, name))
            return true;
    return false;
}
