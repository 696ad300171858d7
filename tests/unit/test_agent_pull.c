/* Which of a Secret's credentials are for which image. */
#include "unit_json.h"

#include "agent/pull.h"
#include "base/text.h"

/* What a Secret of the type holds for an image: "user:password user:password". */
static const char *found(struct arena *a, const char *key, const char *config, const char *image)
{
    struct pull_credential out[PULL_CREDENTIALS_MAX];
    struct buf text = BUF_INIT(65536), all = BUF_INIT(65536);
    size_t n = 0;
    struct json *secret = json_new_object(a);
    assert_int_equal(base64_encode(&text, slice_str(config)), 0);
    json_set_str(a, json_object_at(a, secret, "data"), key, json_new_string(a, buf_slice(&text)));
    pull_credentials(a, secret, slice_str(image), out, &n);
    for (size_t i = 0; i < n; i++)
        buf_printf(&all, "%s%s:%s", i ? " " : "", out[i].username, out[i].password);
    const char *ret = arena_printf(a, "%s", all.n ? all.p : "");
    buf_done(&text);
    buf_done(&all);
    return ret;
}

static void credentials(void **state)
{
    struct arena *a = *state;
    static const char config[] =
        "{\"auths\":{\"https://index.docker.io/v1/\":{\"username\":\"hub\",\"password\":\"h\"},"
        "\"registry.example.com\":{\"auth\":\"dTpw\"},\"registry.example.com/"
        "team\":{\"username\":\"t\",\"password\":\"q\"},"
        "\"*.example.org:5000\":{\"username\":\"star\",\"password\":\"s\"},\"localhost:5000\":{\"auth\":\"***\"}}}";
    static const struct {
        const char *image, *found;
    } rows[] = {
        {"nginx", "hub:h"},
        {"library/nginx:1", "hub:h"},
        {"docker.io/library/nginx", "hub:h"},
        {"registry.example.com/app:1", "u:p"},
        {"registry.example.com/team/app", "u:p t:q"},
        {"registry.example.com/teams/app", "u:p"},
        {"one.example.org:5000/x@sha256:0", "star:s"},
        {"one.two.example.org:5000/x", ""},
        {"one.example.org/x", ""},
        {"localhost:5000/x", ""},
        {"other.example.com/x", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(found(a, ".dockerconfigjson", config, rows[i].image), rows[i].found);
    assert_string_equal(found(a, ".dockercfg", "{\"r.example.com\":{\"auth\":\"dTpw\"}}", "r.example.com/x"), "u:p");
    assert_string_equal(found(a, ".dockerconfigjson", "nonsense", "nginx"), "");
    assert_string_equal(found(a, "other", config, "nginx"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {unit(credentials)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
