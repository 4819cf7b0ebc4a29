/* Data blocks that lie side by side, verified and taken apart: the compiled help of stretches.py; their
 * bytes, where the system has them in memory: that of at_hand.py and file_region.py; and the checksum of two pieces from
 * those of each: that of block.py.
 *
 * All or nothing: where anything is not as FORMAT.md has it, the answer is None, and the Python code,
 * which looks at the same bytes, says what is wrong. No byte is read before its position was compared
 * with the end of what was given. What is returned are views of that, and nothing else is kept. Only
 * Python's stable interface is used: one build serves every version from 3.11.
 */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#define _FILE_OFFSET_BITS 64
#define _GNU_SOURCE
#include <Python.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

enum { HEADER_BYTES = 72, CRC_AT = 68, INDEX_ROW_BYTES = 40, KIND_DATA = 1, FIELDS_COUNT = 6,
       PAGES_AT_ONCE = 1024 };

static uint16_t u16_at(const uint8_t *at) { return (uint16_t)(at[0] | at[1] << 8); }

static uint32_t u32_at(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t u64_at(const uint8_t *at) { return u32_at(at) | (uint64_t)u32_at(at + 4) << 32; }

/* --- CRC-32C ------------------------------------------------------------------------------------ */

static uint32_t crc_table[256];

static uint32_t crc_by_table(uint32_t crc, const uint8_t *at, size_t count)
{
    while (count--)
        crc = crc >> 8 ^ crc_table[(crc ^ *at++) & 0xFF];
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2")))
static uint32_t crc_by_instruction(uint32_t crc, const uint8_t *at, size_t count)
{
    uint64_t wide = crc;
    for (; count >= 8; at += 8, count -= 8)
        wide = _mm_crc32_u64(wide, u64_at(at));
    crc = (uint32_t)wide;
    while (count--)
        crc = _mm_crc32_u8(crc, *at++);
    return crc;
}
#endif

static uint32_t (*crc_of)(uint32_t, const uint8_t *, size_t) = crc_by_table;

static void choose_crc(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78 : 0);
        crc_table[byte] = crc;
    }
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        crc_of = crc_by_instruction;
#endif
}

/* Bit 31 is x^0, as in the checksum itself. */
static uint32_t times(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t bit = 0x80000000; bit != 0; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = b >> 1 ^ (b & 1 ? 0x82F63B78 : 0);
    }
    return product;
}

static uint32_t shift_by_bytes[64]; /* x to the power of 8, 16, 32 ... */

static void choose_shifts(void)
{
    shift_by_bytes[0] = 0x00800000;
    for (int i = 1; i < 64; i++)
        shift_by_bytes[i] = times(shift_by_bytes[i - 1], shift_by_bytes[i - 1]);
}

PyDoc_STRVAR(combine_doc,
"combine(first, second, length)\n\n"
"The CRC-32C of two pieces from that of each, the second of which has so many bytes.");

static PyObject *combine(PyObject *module, PyObject *args)
{
    (void)module;
    unsigned int first, second;
    unsigned long long length;
    if (!PyArg_ParseTuple(args, "IIK", &first, &second, &length))
        return NULL;
    uint32_t crc = first;
    for (int i = 0; length != 0; i++, length >>= 1)
        if (length & 1)
            crc = times(shift_by_bytes[i], crc);
    return PyLong_FromUnsignedLong(crc ^ second);
}

/* --- blocks ------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t log_id, segment;
    uint32_t number;
    unsigned int oldest, newest; /* versions */
    int is_checked;              /* the checksum was compared already */
} Expected;

typedef struct {
    uint32_t entries_count;
    uint64_t index_bytes, total_bytes;
} Block;

/* Whether a whole data block, the one that is expected, begins at `at`. */
static int is_sound(const uint8_t *at, size_t room, const Expected *expected, Block *block)
{
    if (room < HEADER_BYTES || memcmp(at, "WPB1", 4) != 0)
        return 0;
    unsigned int version = u16_at(at + 4);
    if (version < expected->oldest || version > expected->newest || at[6] != KIND_DATA || at[7] != 0)
        return 0;
    if (u64_at(at + 8) != expected->log_id || u64_at(at + 16) != expected->segment ||
        u32_at(at + 32) != expected->number)
        return 0;
    block->entries_count = u32_at(at + 40);
    block->index_bytes = u32_at(at + 44);
    uint64_t data_bytes = u32_at(at + 48);
    block->total_bytes = HEADER_BYTES + block->index_bytes + data_bytes;
    if (block->entries_count == 0 || block->total_bytes > room ||
        block->index_bytes != (uint64_t)block->entries_count * INDEX_ROW_BYTES)
        return 0;
    if (!expected->is_checked) {
        uint32_t crc = crc_of(0xFFFFFFFF, at, CRC_AT);
        crc = crc_of(crc, at + HEADER_BYTES, (size_t)block->total_bytes - HEADER_BYTES);
        if ((crc ^ 0xFFFFFFFF) != u32_at(at + CRC_AT))
            return 0;
    }
    uint64_t end = 0;
    const uint8_t *row = at + HEADER_BYTES;
    for (uint32_t i = 0; i < block->entries_count; i++, row += INDEX_ROW_BYTES) {
        uint32_t span = u32_at(row + 16), count = u32_at(row + 20);
        if (u32_at(row + 32) != end || (int64_t)u64_at(row + 8) < 0 || span == 0 || span < count)
            return 0;
        end += u32_at(row + 36);
    }
    return end == data_bytes;
}

/* An entry made as the class of a named tuple would, without its Python function. */
static PyObject *entry_of(newfunc tuple_new, PyTypeObject *type, PyObject *stream,
                          const uint8_t *row, PyObject *view, Py_ssize_t data_at)
{
    Py_ssize_t begin = data_at + u32_at(row + 32);
    PyObject *values[FIELDS_COUNT] = {
        Py_NewRef(stream),
        PyLong_FromLongLong((long long)u64_at(row + 8)),
        PyLong_FromUnsignedLong(u32_at(row + 16)),
        PyLong_FromUnsignedLong(u32_at(row + 20)),
        PyLong_FromLongLong((long long)u64_at(row + 24)),
        PySequence_GetSlice(view, begin, begin + u32_at(row + 36)),
    };
    PyObject *fields = PyTuple_New(FIELDS_COUNT), *arguments = NULL, *entry = NULL;
    int is_whole = fields != NULL;
    for (int i = 0; i < FIELDS_COUNT; i++) {
        is_whole = is_whole && values[i] != NULL;
        if (fields == NULL)
            Py_XDECREF(values[i]);
        else if (PyTuple_SetItem(fields, i, values[i]) < 0) /* takes the reference */
            is_whole = 0;
    }
    if (is_whole && (arguments = PyTuple_Pack(1, fields)) != NULL)
        entry = tuple_new(type, arguments, NULL);
    Py_XDECREF(arguments);
    Py_XDECREF(fields);
    return entry;
}

typedef struct {
    PyObject *by_stream; /* owned: a list of entries for each stream id */
    PyObject *id;        /* owned: that of the stream that was last */
    PyObject *list;      /* borrowed from the dict: its list */
    uint64_t stream;
} Found;

static int turn_to(Found *found, uint64_t stream)
{
    if (found->list != NULL && found->stream == stream)
        return 1;
    PyObject *id = PyLong_FromUnsignedLongLong(stream);
    if (id == NULL)
        return 0;
    found->list = PyDict_GetItemWithError(found->by_stream, id);
    if (found->list == NULL && !PyErr_Occurred()) {
        PyObject *list = PyList_New(0);
        if (list != NULL && PyDict_SetItem(found->by_stream, id, list) == 0)
            found->list = list;
        Py_XDECREF(list);
    }
    Py_XDECREF(found->id);
    found->id = id;
    found->stream = stream;
    return found->list != NULL;
}

static int add_entries(Found *found, newfunc tuple_new, PyTypeObject *type, const uint8_t *bytes,
                       Py_ssize_t at, const Block *block, PyObject *view)
{
    Py_ssize_t data_at = at + HEADER_BYTES + (Py_ssize_t)block->index_bytes;
    const uint8_t *row = bytes + at + HEADER_BYTES;
    for (uint32_t i = 0; i < block->entries_count; i++, row += INDEX_ROW_BYTES) {
        if (!turn_to(found, u64_at(row)))
            return 0;
        PyObject *entry = entry_of(tuple_new, type, found->id, row, view, data_at);
        int is_added = entry != NULL && PyList_Append(found->list, entry) == 0;
        Py_XDECREF(entry);
        if (!is_added)
            return 0;
    }
    return 1;
}

PyDoc_STRVAR(entries_doc,
"entries(buffer, entry_type, log_id, segment, first, blocks_count, oldest, newest, entries_max,\n"
"        is_checked)\n\n"
"The entries of the data blocks `first` and following, which must fill the buffer: a list for each\n"
"stream id, and how many there are. None if not all is as it should be, or there are more entries\n"
"than `entries_max`. `oldest` and `newest` are the versions of blocks that are read. `is_checked`:\n"
"whoever calls has compared the checksums.");

static PyObject *entries(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *object, *type, *answer = NULL;
    Py_buffer given;
    unsigned long long log_id, segment;
    unsigned int first, blocks_count, oldest, newest, entries_max;
    int is_checked;
    if (!PyArg_ParseTuple(args, "OOKKIIIIIp", &object, &type, &log_id, &segment, &first,
                          &blocks_count, &oldest, &newest, &entries_max, &is_checked))
        return NULL;
    if (!PyType_Check(type) || !PyType_IsSubtype((PyTypeObject *)type, &PyTuple_Type)) {
        PyErr_SetString(PyExc_TypeError, "an entry is a kind of tuple");
        return NULL;
    }
    if (PyObject_GetBuffer(object, &given, PyBUF_SIMPLE) < 0)
        return NULL;
    newfunc tuple_new = (newfunc)PyType_GetSlot(&PyTuple_Type, Py_tp_new);
    PyObject *view = PyMemoryView_FromObject(object);
    Found found = {PyDict_New(), NULL, NULL, 0};
    Expected expected = {log_id, segment, first, oldest, newest, is_checked};
    Py_ssize_t at = 0;
    uint64_t entries_count = 0;
    int is_fine = view != NULL && found.by_stream != NULL;
    for (unsigned int i = 0; is_fine && i < blocks_count; i++, expected.number++) {
        Block block;
        is_fine = is_sound((const uint8_t *)given.buf + at, (size_t)(given.len - at), &expected, &block)
            && (entries_count += block.entries_count) <= entries_max
            && add_entries(&found, tuple_new, (PyTypeObject *)type, given.buf, at, &block, view);
        if (is_fine)
            at += (Py_ssize_t)block.total_bytes;
    }
    if (is_fine && at == given.len)
        answer = Py_BuildValue("OK", found.by_stream, (unsigned long long)entries_count);
    else if (!PyErr_Occurred())
        answer = Py_NewRef(Py_None);
    Py_XDECREF(found.id);
    Py_XDECREF(found.by_stream);
    Py_XDECREF(view);
    PyBuffer_Release(&given);
    return answer;
}

/* --- files -------------------------------------------------------------------------------------- */

/* Some bytes of a file, as both of these are told them. */
typedef struct {
    int fd;
    unsigned long long start;
    Py_ssize_t length;
} Part;

static int is_part(PyObject *args, Part *part)
{
    return PyArg_ParseTuple(args, "iKn", &part->fd, &part->start, &part->length);
}

PyDoc_STRVAR(read_at_hand_doc,
"read_at_hand(fd, start, length)\n\n"
"These bytes of a file if the system has them all in memory, else None. Unlike a buffer that Python\n"
"can have read into, it is not filled with zeros first.");

static PyObject *read_at_hand(PyObject *module, PyObject *args)
{
    (void)module;
    Part part;
    if (!is_part(args, &part))
        return NULL;
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, part.length);
    if (bytes == NULL)
        return NULL;
#ifdef RWF_NOWAIT
    struct iovec all = {PyBytes_AsString(bytes), (size_t)part.length};
    if (preadv2(part.fd, &all, 1, (off_t)part.start, RWF_NOWAIT) == part.length)
        return bytes;
#endif
    Py_DECREF(bytes);
    Py_RETURN_NONE;
}

/* Whether all of these pages are, of a mapping that nobody touches. */
static int are_resident(const uint8_t *at, size_t bytes, size_t page_bytes)
{
    unsigned char is_there[PAGES_AT_ONCE];
    for (size_t done = 0; done < bytes; done += PAGES_AT_ONCE * page_bytes) {
        size_t part = bytes - done < PAGES_AT_ONCE * page_bytes ? bytes - done : PAGES_AT_ONCE * page_bytes;
        size_t pages = (part + page_bytes - 1) / page_bytes;
        if (mincore((void *)(at + done), part, (void *)is_there) < 0)
            return 0;
        for (size_t i = 0; i < pages; i++)
            if (!(is_there[i] & 1))
                return 0;
    }
    return 1;
}

PyDoc_STRVAR(is_in_memory_doc,
"is_in_memory(fd, start, length)\n\n"
"Whether the system has all of these bytes of a file in memory. False, too, where it does not say.");

static PyObject *is_in_memory(PyObject *module, PyObject *args)
{
    (void)module;
    Part part;
    if (!is_part(args, &part))
        return NULL;
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE), before = (size_t)(part.start % page_bytes);
    size_t bytes = before + (size_t)part.length;
    void *at = mmap(NULL, bytes, PROT_READ, MAP_SHARED, part.fd, (off_t)(part.start - before));
    if (at == MAP_FAILED)
        Py_RETURN_FALSE;
    int found = are_resident(at, bytes, page_bytes);
    munmap(at, bytes);
    return PyBool_FromLong(found);
}

static PyMethodDef methods[] = {
    {"combine", combine, METH_VARARGS, combine_doc},
    {"entries", entries, METH_VARARGS, entries_doc},
    {"is_in_memory", is_in_memory, METH_VARARGS, is_in_memory_doc},
    {"read_at_hand", read_at_hand, METH_VARARGS, read_at_hand_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "wal_core.format._blocks", "See stretches.py, at_hand.py and block.py.", 0, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__blocks(void)
{
    choose_crc();
    choose_shifts();
    return PyModule_Create(&definition);
}
