/* A small Produce request as most clients send it, taken apart: the compiled help of small_produce.py.
 *
 * It only ever says where the parts are. A request of any other shape, or with anything wrong about
 * it, is None, and the Python code that reads all of them has it: so there is one wording and one
 * set of codes. The records themselves are looked at by _records.c.
 *
 * No byte is read before its position was compared with the end of what was given, and nothing is
 * written or kept. Only Python's stable interface is used: one build serves every version from 3.11.
 */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#define FIRST_VERSION 3
#define FIRST_FLEXIBLE_VERSION 9
#define FIRST_VERSION_WITH_IDS 13
#define ID_BYTES 16
#define NAME_BYTES_MAX 249
#define VARINT_BYTES_MAX 5

typedef struct {
    const uint8_t *begin, *at, *end;
} Cursor;

/* A big-endian number; where the bytes end, `at` stands behind them and 0 is returned. */
static inline int64_t take(Cursor *cursor, int bytes_count, int *is_there)
{
    uint64_t found = 0;
    if (cursor->end - cursor->at < bytes_count) {
        *is_there = 0;
        return 0;
    }
    for (int i = 0; i < bytes_count; i++)
        found = found << 8 | *cursor->at++;
    return bytes_count == 2 ? (int16_t)found : bytes_count == 4 ? (int32_t)found : (int64_t)found;
}

static inline int skip(Cursor *cursor, int64_t bytes_count)
{
    if (bytes_count < 0 || bytes_count > cursor->end - cursor->at)
        return 0;
    cursor->at += bytes_count;
    return 1;
}

/* A length and one, as flexible versions write it, in as few bytes as it needs. */
static inline int64_t take_compact(Cursor *cursor, int *is_there)
{
    int64_t found = 0;
    for (int i = 0; i < VARINT_BYTES_MAX && cursor->at < cursor->end; i++) {
        int64_t byte = *cursor->at++;
        found |= (byte & 0x7F) << (7 * i);
        if (byte < 0x80) {
            if (i > 0 && byte == 0)
                break;
            return found - 1;
        }
    }
    *is_there = 0;
    return 0;
}

/* Whether that is the next byte. */
static inline int is_next(Cursor *cursor, uint8_t byte)
{
    return cursor->at < cursor->end && *cursor->at++ == byte;
}

typedef struct {
    int64_t version, correlation_id, acks, timeout_ms, index;
    Py_ssize_t said_at, topic_at, topic_end, said_end, records_at, records_end;
} Parts;

/* An array of one element. */
static inline int is_single(Cursor *cursor, int is_flexible)
{
    int is_there = 1;
    int64_t count = is_flexible ? take_compact(cursor, &is_there) : take(cursor, 4, &is_there);
    return is_there && count == 1;
}

static int find_head(Cursor *cursor, Parts *parts)
{
    int is_there = 1;
    if (take(cursor, 2, &is_there) != 0)
        return 0;
    parts->version = take(cursor, 2, &is_there);
    parts->correlation_id = take(cursor, 4, &is_there);
    if (!is_there || parts->version < FIRST_VERSION || parts->version > FIRST_VERSION_WITH_IDS)
        return 0;
    int64_t client_id_bytes = take(cursor, 2, &is_there); /* -1: null */
    if (!is_there || client_id_bytes < -1 || (client_id_bytes > 0 && !skip(cursor, client_id_bytes)))
        return 0;
    if (parts->version >= FIRST_FLEXIBLE_VERSION) {
        if (!is_next(cursor, 0) || !is_next(cursor, 0)) /* no tags, no transactional id */
            return 0;
    } else if (take(cursor, 2, &is_there) != -1) {
        return 0;
    }
    parts->acks = take(cursor, 2, &is_there);
    parts->timeout_ms = take(cursor, 4, &is_there);
    return is_there && (parts->acks == -1 || parts->acks == 1);
}

static int find_topic(Cursor *cursor, Parts *parts)
{
    int is_there = 1;
    int is_flexible = parts->version >= FIRST_FLEXIBLE_VERSION;
    int64_t length = ID_BYTES;
    parts->said_at = cursor->at - cursor->begin;
    if (!is_single(cursor, is_flexible))
        return 0;
    if (parts->version < FIRST_VERSION_WITH_IDS) {
        length = is_flexible ? take_compact(cursor, &is_there) : take(cursor, 2, &is_there);
        if (!is_there || length < 1 || length > NAME_BYTES_MAX)
            return 0;
    }
    parts->topic_at = cursor->at - cursor->begin;
    if (!skip(cursor, length))
        return 0;
    parts->topic_end = cursor->at - cursor->begin;
    if (!is_single(cursor, is_flexible))
        return 0;
    parts->index = take(cursor, 4, &is_there);
    parts->said_end = cursor->at - cursor->begin;
    return is_there;
}

static int find_records(Cursor *cursor, Parts *parts)
{
    int is_there = 1;
    int is_flexible = parts->version >= FIRST_FLEXIBLE_VERSION;
    int64_t length = is_flexible ? take_compact(cursor, &is_there) : take(cursor, 4, &is_there);
    parts->records_at = cursor->at - cursor->begin;
    if (!is_there || length < 1 || !skip(cursor, length))
        return 0;
    parts->records_end = cursor->at - cursor->begin;
    /* No tags of the partition, the topic, the request. */
    return !is_flexible || (is_next(cursor, 0) && is_next(cursor, 0) && is_next(cursor, 0));
}

PyDoc_STRVAR(parts_doc,
"parts(frame)\n\n"
"See small_produce.py; None for a request that is not such a one.");

static PyObject *parts(PyObject *module, PyObject *frame)
{
    (void)module;
    Py_buffer buffer;
    Parts found;
    PyObject *result = NULL, *topic;
    if (PyObject_GetBuffer(frame, &buffer, PyBUF_SIMPLE) < 0)
        return NULL;
    const uint8_t *bytes = buffer.buf;
    Cursor cursor = {bytes, bytes, bytes + buffer.len};
    if (!find_head(&cursor, &found) || !find_topic(&cursor, &found) ||
        !find_records(&cursor, &found)) {
        PyBuffer_Release(&buffer);
        Py_RETURN_NONE;
    }
    const char *text = (const char *)bytes + found.topic_at;
    Py_ssize_t text_bytes = found.topic_end - found.topic_at;
    if (found.version >= FIRST_VERSION_WITH_IDS)
        topic = PyBytes_FromStringAndSize(text, text_bytes);
    else
        topic = PyUnicode_DecodeUTF8(text, text_bytes, "replace"); /* no topic has such a name */
    if (topic != NULL)
        result = Py_BuildValue("LLLLNLnnnn", (long long)found.version,
                               (long long)found.correlation_id, (long long)found.acks,
                               (long long)found.timeout_ms, topic, (long long)found.index,
                               found.said_at, found.said_end, found.records_at, found.records_end);
    PyBuffer_Release(&buffer);
    return result;
}

static PyMethodDef methods[] = {
    {"parts", parts, METH_O, parts_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "protocol._produce", "See small_produce.py.", 0, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__produce(void)
{
    return PyModule_Create(&definition);
}
