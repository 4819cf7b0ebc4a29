/* The records of a batch, looked at one by one: the compiled help of record_check.py and small_produce.py.
 *
 * It only ever says how far records are sound and their times within what is allowed. The first one
 * it does not take is looked at by the Python code, which alone knows what to say about it: so there
 * is one wording and one set of codes, and whatever is missing here costs time and nothing else.
 *
 * No byte is read before its position was compared with the end of what was given, and nothing is
 * written or kept. Only Python's stable interface is used: one build serves every version from 3.11.
 */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

/* Where the fields of a batch's header are: see batch_header.py. */
enum {
    LENGTH_AT = 8,
    LENGTH_END = 12,
    MAGIC_AT = 16,
    MAGIC = 2,
    ATTRIBUTES_AT = 21,
    LAST_DELTA_AT = 23,
    BASE_TIMESTAMP_AT = 27,
    PRODUCER_AT = 43,
    SEQUENCE_AT = 53,
    COUNT_AT = 57,
    HEADER_BYTES = 61
};

#define VARINT_BYTES_MAX 5
#define VARLONG_BYTES_MAX 9 /* the longest that fits 63 bits; longer ones are left to Python */

typedef struct {
    const uint8_t *at;
    const uint8_t *end;
} Cursor;

/* Returns 0 where the bytes end or the number has more of them than it may. */
static inline int read_varint(Cursor *cursor, int bytes_max, uint64_t *value)
{
    uint64_t found = 0;
    for (int i = 0; i < bytes_max && cursor->at < cursor->end; i++) {
        uint8_t byte = *cursor->at++;
        found |= (uint64_t)(byte & 0x7F) << (7 * i);
        if (byte < 0x80) {
            *value = found;
            return 1;
        }
    }
    return 0;
}

static inline int skip(Cursor *cursor, uint64_t bytes_count)
{
    if (bytes_count > (uint64_t)(cursor->end - cursor->at))
        return 0;
    cursor->at += bytes_count;
    return 1;
}

/* A length in zigzag and as many bytes; -1, which is 1 in zigzag, stands for null. */
static inline int skip_field(Cursor *cursor, int *is_null)
{
    uint64_t raw;
    if (!read_varint(cursor, VARINT_BYTES_MAX, &raw))
        return 0;
    *is_null = raw == 1;
    return *is_null || (!(raw & 1) && skip(cursor, raw >> 1));
}

static int skip_headers(Cursor *cursor)
{
    uint64_t count;
    int is_null;
    if (!read_varint(cursor, VARINT_BYTES_MAX, &count) || count & 1)
        return 0;
    for (count >>= 1; count > 0; count--)
        if (!skip_field(cursor, &is_null) || is_null || !skip_field(cursor, &is_null))
            return 0;
    return 1;
}

typedef struct {
    int64_t base_ms, least_ms, most_ms, greatest_ms;
    int needs_keys;
} Rules;

/* One record, whose offset delta must be `index`. Returns 0 if Python is to look at it. */
static inline int take_record(Cursor *batch, int64_t index, Rules *rules)
{
    uint64_t raw;
    int is_null;
    if (!read_varint(batch, VARINT_BYTES_MAX, &raw) || raw & 1)
        return 0;
    raw >>= 1;
    if (raw > (uint64_t)(batch->end - batch->at))
        return 0;
    Cursor record = {batch->at, batch->at + raw};
    if (!skip(&record, 1)) /* attributes, which mean nothing yet */
        return 0;
    if (!read_varint(&record, VARLONG_BYTES_MAX, &raw))
        return 0;
    int64_t time_ms = (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
    if (__builtin_add_overflow(time_ms, rules->base_ms, &time_ms))
        return 0;
    if (time_ms != -1 && (time_ms < rules->least_ms || time_ms > rules->most_ms))
        return 0;
    if (!read_varint(&record, VARINT_BYTES_MAX, &raw) || raw != (uint64_t)index << 1)
        return 0;
    if (!skip_field(&record, &is_null) || (is_null && rules->needs_keys))
        return 0;
    if (!skip_field(&record, &is_null) || !skip_headers(&record) || record.at != record.end)
        return 0;
    if (time_ms > rules->greatest_ms)
        rules->greatest_ms = time_ms;
    batch->at = record.end;
    return 1;
}

PyDoc_STRVAR(sound_doc,
"sound(plain, at, index, stop, base_ms, least_ms, most_ms, needs_keys, greatest_ms)\n\n"
"How far the records from number `index` at position `at` on are sound, before number `stop`:\n"
"the number and the position behind them, and the greatest of `greatest_ms` and their times.");

static PyObject *sound(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer plain;
    Py_ssize_t at, index, stop;
    long long base_ms, least_ms, most_ms, greatest_ms;
    int needs_keys;
    if (!PyArg_ParseTuple(args, "y*nnnLLLpL", &plain, &at, &index, &stop, &base_ms, &least_ms,
                          &most_ms, &needs_keys, &greatest_ms))
        return NULL;
    if (at < 0 || at > plain.len || index < 0) {
        PyBuffer_Release(&plain);
        PyErr_SetString(PyExc_ValueError, "the position is not within the bytes");
        return NULL;
    }
    const uint8_t *bytes = plain.buf;
    Cursor batch = {bytes + at, bytes + plain.len};
    Rules rules = {base_ms, least_ms, most_ms, greatest_ms, needs_keys};
    while (index < stop) {
        Cursor before = batch;
        if (!take_record(&batch, index, &rules)) {
            batch = before;
            break;
        }
        index++;
    }
    at = batch.at - bytes;
    PyBuffer_Release(&plain);
    return Py_BuildValue("nnL", index, at, (long long)rules.greatest_ms);
}

static inline int64_t big_endian(const uint8_t *at, int bytes_count)
{
    uint64_t found = 0;
    for (int i = 0; i < bytes_count; i++)
        found = found << 8 | at[i];
    return bytes_count == 4 ? (int32_t)found : (int64_t)found;
}

/* Whether the header is that of one plain batch of so many bytes; the number of its records then. */
static int64_t records_count(const uint8_t *batch, Py_ssize_t bytes_count)
{
    if (bytes_count < HEADER_BYTES || batch[MAGIC_AT] != MAGIC ||
        big_endian(batch + LENGTH_AT, 4) + LENGTH_END != bytes_count)
        return 0;
    if (batch[ATTRIBUTES_AT] | batch[ATTRIBUTES_AT + 1])
        return 0;
    int64_t count = big_endian(batch + COUNT_AT, 4);
    int is_idempotent = big_endian(batch + PRODUCER_AT, 8) >= 0;
    if (big_endian(batch + LAST_DELTA_AT, 4) != count - 1 ||
        (is_idempotent && big_endian(batch + SEQUENCE_AT, 4) < 0))
        return 0;
    return count;
}

PyDoc_STRVAR(greatest_doc,
"greatest(batch, least_ms, most_ms, needs_keys)\n\n"
"The greatest time of the records of a batch that is not compressed, -1 where none has one; None\n"
"if anything but its CRC is wrong about it, or out of the ordinary.");

static PyObject *greatest(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer batch;
    long long least_ms, most_ms;
    int needs_keys;
    if (!PyArg_ParseTuple(args, "y*LLp", &batch, &least_ms, &most_ms, &needs_keys))
        return NULL;
    const uint8_t *bytes = batch.buf;
    int64_t count = records_count(bytes, batch.len), index = 0;
    Rules rules = {0, least_ms, most_ms, -1, needs_keys};
    int is_sound = count > 0;
    if (is_sound) {
        Cursor records = {bytes + HEADER_BYTES, bytes + batch.len};
        rules.base_ms = big_endian(bytes + BASE_TIMESTAMP_AT, 8);
        while (index < count && take_record(&records, index, &rules))
            index++;
        is_sound = index == count && records.at == records.end;
    }
    PyBuffer_Release(&batch);
    if (!is_sound)
        Py_RETURN_NONE;
    return PyLong_FromLongLong(rules.greatest_ms);
}

static PyMethodDef methods[] = {
    {"sound", sound, METH_VARARGS, sound_doc},
    {"greatest", greatest, METH_VARARGS, greatest_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "protocol._records", "See record_check.py.", 0, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__records(void)
{
    return PyModule_Create(&definition);
}
