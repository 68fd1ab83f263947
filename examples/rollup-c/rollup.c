// A report that keeps itself up to date: the job of ../rollup, whose README.md says what it does, in C.
//
// Each run has an instance of its own, and all that it holds goes with it: memory and handles are released here only where
// the world asks for it.

#define _GNU_SOURCE // vasprintf
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leader.h"

#define MINUTE_MS 60000
#define DEFAULT_KEEP_MINUTES 60

typedef exports_silverback_leader_job_grant_t grant_t;
typedef exports_silverback_leader_job_run_error_t run_error_t;
typedef wasi_keyvalue_store_borrow_bucket_t bucket_t;
typedef wasi_keyvalue_store_error_t store_error_t;
typedef wasi_http_types_error_code_t http_error_t;

// What is kept under the key `report`.
typedef struct {
    uint64_t ticks;
    uint64_t retries;
    // Milliseconds since 1970; they mean nothing before the first tick.
    uint64_t first_tick_ms;
    uint64_t last_tick_ms;
    // Ticks of each minute (minutes since 1970), the oldest first.
    struct minute { uint64_t minute, ticks; } *minutes;
    size_t length;
} report_t;

// ---- Text ----

__attribute__((format(printf, 1, 0)))
static char *format_list(const char *words, va_list list) {
    char *text;
    if (vasprintf(&text, words, list) < 0) abort();
    return text;
}

__attribute__((format(printf, 1, 2)))
static char *format(const char *words, ...) {
    va_list list;
    va_start(list, words);
    char *text = format_list(words, list);
    va_end(list);
    return text;
}

// The world's strings have a length and no end mark.
static leader_string_t world_string(const char *text) {
    leader_string_t string;
    leader_string_set(&string, text);
    return string;
}

static char *c_string(const uint8_t *bytes, size_t length) {
    return strndup((const char *)bytes, length);
}

static void say(wasi_logging_logging_level_t level, const char *message) {
    leader_string_t context = world_string("rollup"), line = world_string(message);
    wasi_logging_logging_log(level, &context, &line);
}

// ---- How a run fails: both give false, as the exported function does then ----

__attribute__((format(printf, 2, 3)))
static bool permanent(run_error_t *error, const char *words, ...) {
    va_list list;
    va_start(list, words);
    error->tag = EXPORTS_SILVERBACK_LEADER_JOB_RUN_ERROR_PERMANENT;
    error->val.permanent = world_string(format_list(words, list));
    va_end(list);
    return false;
}

static bool retryable(run_error_t *error, const char *words) {
    error->tag = EXPORTS_SILVERBACK_LEADER_JOB_RUN_ERROR_RETRYABLE;
    leader_string_dup(&error->val.retryable, words);
    return false;
}

static bool store_failed(run_error_t *error, const store_error_t *why) {
    switch (why->tag) {
    case WASI_KEYVALUE_STORE_ERROR_NO_SUCH_STORE: return retryable(error, "the host keeps no state for this job");
    case WASI_KEYVALUE_STORE_ERROR_ACCESS_DENIED: return retryable(error, "the host denies access to the state");
    default: return retryable(error, c_string(why->val.other.ptr, why->val.other.len));
    }
}

// ---- Config ----

// NULL where the job sets none.
static char *config(const char *key) {
    leader_string_t name = world_string(key);
    leader_option_string_t value;
    wasi_config_store_error_t error;
    // Silverback's hosts have the whole table at hand, so this call doesn't fail there.
    if (!wasi_config_store_get(&name, &value, &error) || !value.is_some) return NULL;
    return c_string(value.val.ptr, value.val.len);
}

static bool keep_minutes(size_t *keep, run_error_t *error) {
    char *value = config("keep_minutes");
    *keep = DEFAULT_KEEP_MINUTES;
    if (value == NULL) return true;
    if (*value == '\0' || value[strspn(value, "0123456789")] != '\0')
        return permanent(error, "config `keep_minutes` = `%s` is not valid: it is no number", value);
    *keep = strtoul(value, NULL, 10);
    if (*keep == 0) *keep = 1;
    return true;
}

// ---- The report, as JSON without spaces, the keys always in the same order ----

static bool skip(const char **at, const char *words) {
    size_t length = strlen(words);
    if (strncmp(*at, words, length) != 0) return false;
    *at += length;
    return true;
}

static bool number(const char **at, uint64_t *value) {
    char *end;
    if (**at < '0' || **at > '9') return false;
    *value = strtoull(*at, &end, 10);
    *at = end;
    return true;
}

// Gives room for one more minute.
static struct minute *add_minute(report_t *report) {
    report->minutes = realloc(report->minutes, (report->length + 1) * sizeof *report->minutes);
    if (report->minutes == NULL) abort();
    return &report->minutes[report->length++];
}

static bool parse(const char *at, report_t *report) {
    bool good = skip(&at, "{\"ticks\":") && number(&at, &report->ticks)
        && skip(&at, ",\"retries\":") && number(&at, &report->retries)
        && skip(&at, ",\"first_tick_ms\":") && number(&at, &report->first_tick_ms)
        && skip(&at, ",\"last_tick_ms\":") && number(&at, &report->last_tick_ms)
        && skip(&at, ",\"minutes\":{");
    while (good && *at == (report->length == 0 ? '"' : ',')) {
        if (*at == ',') at++;
        struct minute *next = add_minute(report);
        good = skip(&at, "\"") && number(&at, &next->minute) && skip(&at, "\":") && number(&at, &next->ticks);
    }
    return good && strcmp(at, "}}") == 0;
}

static char *print(const report_t *report) {
    char *text;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (out == NULL) abort();
    fprintf(out, "{\"ticks\":%" PRIu64 ",\"retries\":%" PRIu64, report->ticks, report->retries);
    fprintf(out, ",\"first_tick_ms\":%" PRIu64 ",\"last_tick_ms\":%" PRIu64, report->first_tick_ms, report->last_tick_ms);
    fputs(",\"minutes\":{", out);
    for (size_t i = 0; i < report->length; i++)
        fprintf(out, "%s\"%" PRIu64 "\":%" PRIu64, i == 0 ? "" : ",", report->minutes[i].minute, report->minutes[i].ticks);
    fputs("}}", out);
    fclose(out);
    return text;
}

static void count(report_t *report, uint64_t tick_ms, uint32_t attempt, size_t keep) {
    if (report->ticks == 0) report->first_tick_ms = tick_ms;
    report->ticks += 1;
    report->retries += attempt > 1;
    report->last_tick_ms = tick_ms;
    // Ticks come in order, but for those of a backfill.
    uint64_t minute = tick_ms / MINUTE_MS;
    size_t at = report->length;
    while (at > 0 && report->minutes[at - 1].minute >= minute) at--;
    if (at == report->length || report->minutes[at].minute != minute) {
        add_minute(report);
        memmove(&report->minutes[at + 1], &report->minutes[at], (report->length - 1 - at) * sizeof *report->minutes);
        report->minutes[at] = (struct minute){minute, 0};
    }
    report->minutes[at].ticks += 1;
    if (report->length > keep) {
        memmove(report->minutes, report->minutes + report->length - keep, keep * sizeof *report->minutes);
        report->length = keep;
    }
}

static bool load(bucket_t state, report_t *report, run_error_t *error) {
    leader_string_t key = world_string("report");
    leader_option_list_u8_t value;
    store_error_t why;
    if (!wasi_keyvalue_store_method_bucket_get(state, &key, &value, &why)) return store_failed(error, &why);
    if (value.is_some && !parse(c_string(value.val.ptr, value.val.len), report))
        return retryable(error, "value of key `report` is not of the type asked for");
    return true;
}

static bool store(bucket_t state, const report_t *report, run_error_t *error) {
    leader_string_t key = world_string("report");
    char *text = print(report);
    leader_list_u8_t value = {(uint8_t *)text, strlen(text)};
    store_error_t why;
    return wasi_keyvalue_store_method_bucket_set(state, &key, &value, &why) || store_failed(error, &why);
}

// ---- HTTP ----

static const char *http_words(const http_error_t *why) {
    switch (why->tag) {
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_DENIED: return "the job's http.allow doesn't name it";
    case WASI_HTTP_TYPES_ERROR_CODE_CONNECTION_REFUSED: return "the connection was refused";
    case WASI_HTTP_TYPES_ERROR_CODE_INTERNAL_ERROR:
        if (why->val.internal_error.is_some)
            return c_string(why->val.internal_error.val.ptr, why->val.internal_error.val.len);
        // fallthrough
    default: return format("error code %d of wasi:http", why->tag); // The names stand in bindings/leader.h.
    }
}

// A POST request to the URL, and its body of so many bytes. False where the URL is none.
static bool make_request(const char *url, size_t length, wasi_http_types_own_outgoing_request_t *request,
                         wasi_http_types_own_outgoing_body_t *body) {
    const char *authority = strstr(url, "://");
    if (authority == NULL) return false;
    wasi_http_types_scheme_t scheme = {.tag = WASI_HTTP_TYPES_SCHEME_OTHER};
    scheme.val.other = world_string(c_string((const uint8_t *)url, authority - url));
    if (skip(&url, "https://")) scheme.tag = WASI_HTTP_TYPES_SCHEME_HTTPS;
    else if (skip(&url, "http://")) scheme.tag = WASI_HTTP_TYPES_SCHEME_HTTP;
    authority += strlen("://");
    size_t host = strcspn(authority, "/?#");
    // A fragment is not sent.
    const char *rest = authority + host;
    char *path = c_string((const uint8_t *)rest, strcspn(rest, "#"));
    if (*path != '/') path = format("/%s", path);

    char *digits = format("%zu", length);
    wasi_http_types_tuple2_field_name_field_value_t header = {
        world_string("content-length"), {(uint8_t *)digits, strlen(digits)}};
    wasi_http_types_list_tuple2_field_name_field_value_t headers = {&header, 1};
    wasi_http_types_own_fields_t fields;
    wasi_http_types_header_error_t refused;
    if (!wasi_http_types_static_fields_from_list(&headers, &fields, &refused)) return false;

    *request = wasi_http_types_constructor_outgoing_request(fields);
    wasi_http_types_borrow_outgoing_request_t it = wasi_http_types_borrow_outgoing_request(*request);
    wasi_http_types_method_t post = {.tag = WASI_HTTP_TYPES_METHOD_POST};
    leader_string_t where = world_string(c_string((const uint8_t *)authority, host)), what = world_string(path);
    return wasi_http_types_method_outgoing_request_set_method(it, &post)
        && wasi_http_types_method_outgoing_request_set_scheme(it, &scheme)
        && wasi_http_types_method_outgoing_request_set_authority(it, &where)
        && wasi_http_types_method_outgoing_request_set_path_with_query(it, &what)
        && wasi_http_types_method_outgoing_request_body(it, body);
}

// Sends a text. Gives NULL and the status of the response, or what went wrong.
static const char *post(const char *url, const char *text, uint16_t *status) {
    wasi_http_types_own_outgoing_request_t request;
    wasi_http_types_own_outgoing_body_t body;
    if (!make_request(url, strlen(text), &request, &body)) return "it is no valid URL";

    wasi_http_types_own_output_stream_t stream;
    if (!wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(body), &stream))
        return "the host gave no way to send a body";
    wasi_http_types_own_future_incoming_response_t future;
    http_error_t why;
    if (!wasi_http_outgoing_handler_handle(request, NULL, &future, &why)) return http_words(&why);

    // One call takes 4096 bytes. A body that is not taken is no failure by itself: the response says why.
    leader_list_u8_t bytes = {(uint8_t *)text, strlen(text)};
    wasi_io_streams_stream_error_t closed;
    wasi_io_streams_method_output_stream_blocking_write_and_flush(
        wasi_io_streams_borrow_output_stream(stream), &bytes, &closed);
    // The stream is a part of the body, so it goes first.
    wasi_io_streams_output_stream_drop_own(stream);
    wasi_http_types_static_outgoing_body_finish(body, NULL, &why);

    wasi_http_types_borrow_future_incoming_response_t answer = wasi_http_types_borrow_future_incoming_response(future);
    wasi_io_poll_own_pollable_t answered = wasi_http_types_method_future_incoming_response_subscribe(answer);
    wasi_io_poll_method_pollable_block(wasi_io_poll_borrow_pollable(answered));
    wasi_http_types_result_result_own_incoming_response_error_code_void_t result;
    if (!wasi_http_types_method_future_incoming_response_get(answer, &result) || result.is_err) return "no response";
    if (result.val.ok.is_err) return http_words(&result.val.ok.val.err);
    *status = wasi_http_types_method_incoming_response_status(
        wasi_http_types_borrow_incoming_response(result.val.ok.val.ok));
    return NULL;
}

// Sends the total to the URL, and counts the answers. A target that is away doesn't fail the run: the next one tells it.
static bool tell(bucket_t state, const char *url, uint64_t total, run_error_t *error) {
    uint16_t status;
    const char *wrong = post(url, format("%" PRIu64, total), &status);
    if (wrong != NULL) {
        say(WASI_LOGGING_LOGGING_LEVEL_WARN, format("%s was not told: %s", url, wrong));
        return true;
    }
    leader_string_t key = world_string("answers");
    uint64_t answers;
    store_error_t why;
    if (!wasi_keyvalue_atomics_increment(state, &key, 1, &answers, &why)) return store_failed(error, &why);
    say(WASI_LOGGING_LOGGING_LEVEL_INFO, format("%s answered %d, answer %" PRIu64, url, status, answers));
    return true;
}

// ---- What the world asks for: the function `run` of the interface `job` ----

bool exports_silverback_leader_job_run(grant_t *grant, leader_list_u8_t *result, run_error_t *error) {
    size_t keep;
    if (!keep_minutes(&keep, error)) return false;

    leader_string_t name = world_string("default");
    wasi_keyvalue_store_own_bucket_t bucket;
    store_error_t why;
    if (!wasi_keyvalue_store_open(&name, &bucket, &why)) return store_failed(error, &why);
    bucket_t state = wasi_keyvalue_store_borrow_bucket(bucket);

    report_t report = {0};
    if (!load(state, &report, error)) return false;
    // A run by hand is of no tick: it has nothing to count.
    if (grant->tick.is_some) {
        count(&report, grant->tick.val, grant->attempt, keep);
        if (!store(state, &report, error)) return false;
    }
    char *summary = format("%" PRIu64 " ticks in %zu minutes", report.ticks, report.length);
    say(WASI_LOGGING_LOGGING_LEVEL_INFO, summary);

    char *url = config("url");
    if (url != NULL && !tell(state, url, report.ticks, error)) return false;
    // What is returned is freed once the host has it.
    *result = (leader_list_u8_t){(uint8_t *)summary, strlen(summary)};
    return true;
}
