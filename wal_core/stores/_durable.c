/* Blocks written to a file and made durable in one go: the compiled help of file_writer.py.
 *
 * The calls are those of its Python code, in the same order, and their errors come back as they are.
 * What it saves are the waits for the interpreter between them, and it copies without it, too: a
 * thread that writes beside a busy loop needs it once a block, not once a call. Only Python's stable
 * interface is used: one build serves every version from 3.11.
 */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#define _FILE_OFFSET_BITS 64
#define _GNU_SOURCE
#include <Python.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096 };

typedef struct {
    int fd;
    uint8_t *memory; /* NULL: pieces are written from where they are */
    size_t room, filled;
    off_t position;
} Target;

static int write_all(int fd, const uint8_t *at, size_t count, off_t position)
{
    while (count > 0) {
        ssize_t written = pwrite(fd, at, count, position);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            errno = written < 0 ? errno : EIO;
            return -1;
        }
        at += written;
        count -= (size_t)written;
        position += written;
    }
    return 0;
}

static int put(Target *to, const uint8_t *at, size_t count)
{
    if (to->memory == NULL) {
        off_t position = to->position;
        to->position += (off_t)count;
        return write_all(to->fd, at, count, position);
    }
    while (count > 0) {
        size_t part = count < to->room - to->filled ? count : to->room - to->filled;
        memcpy(to->memory + to->filled, at, part);
        at += part;
        count -= part;
        to->filled += part;
        if (to->filled == to->room) {
            if (write_all(to->fd, to->memory, to->room, to->position) < 0)
                return -1;
            to->position += (off_t)to->room;
            to->filled = 0;
        }
    }
    return 0;
}

/* What is left in the memory, its last page filled up with zeros. */
static int put_rest(const Target *to)
{
    if (to->memory == NULL || to->filled == 0)
        return 0;
    size_t end = (to->filled + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    memset(to->memory + to->filled, 0, end - to->filled);
    return write_all(to->fd, to->memory, end, to->position);
}

static int sync_data(int fd)
{
#if defined(__linux__)
    return fdatasync(fd);
#else
    return fsync(fd);
#endif
}

static int write_durably(Target *to, const Py_buffer *head, const Py_buffer *pieces, Py_ssize_t count)
{
    if (put(to, head->buf, (size_t)head->len) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++)
        if (put(to, pieces[i].buf, (size_t)pieces[i].len) < 0)
            return -1;
    if (put_rest(to) < 0)
        return -1;
    return sync_data(to->fd);
}

/* How many of the objects could be looked at, which is all of them unless an exception is set. */
static Py_ssize_t look_at(PyObject *objects, Py_buffer *buffers, Py_ssize_t count)
{
    Py_ssize_t i = 0;
    for (int is_fine = 1; i < count; i++) {
        PyObject *object = PySequence_GetItem(objects, i);
        is_fine = object != NULL && PyObject_GetBuffer(object, &buffers[i], PyBUF_SIMPLE) == 0;
        Py_XDECREF(object); /* the buffer keeps it */
        if (!is_fine)
            break;
    }
    return i;
}

PyDoc_STRVAR(durable_doc,
"durable(fd, staging, head, pieces, position, note_fd, note, note_at)\n\n"
"Write head and pieces from `position` on and sync their data; then write the note, whose errors are\n"
"nobody's. With `staging`, writable memory of whole pages on a page border, whole pages are written\n"
"and returned is what the last one is filled with, else nothing. Raises OSError.");

static PyObject *durable(PyObject *module, PyObject *args)
{
    (void)module;
    int fd, note_fd, failed = 0;
    PyObject *staging, *objects, *answer = NULL;
    Py_buffer memory = {0}, head, note;
    long long position, note_at;
    if (!PyArg_ParseTuple(args, "iOy*OLiy*L", &fd, &staging, &head, &objects, &position, &note_fd,
                          &note, &note_at))
        return NULL;
    Py_ssize_t count = PySequence_Size(objects), seen = 0;
    Py_buffer *pieces = count < 0 ? NULL : PyMem_Calloc((size_t)count + 1, sizeof *pieces);
    int is_staged = staging != Py_None;
    if (pieces == NULL) {
        if (!PyErr_Occurred())
            PyErr_NoMemory();
        goto done;
    }
    if (is_staged && PyObject_GetBuffer(staging, &memory, PyBUF_WRITABLE) < 0) {
        is_staged = 0;
        goto done;
    }
    if (is_staged && (memory.len == 0 || memory.len % PAGE_BYTES || position % PAGE_BYTES ||
                      head.len >= PAGE_BYTES)) {
        PyErr_SetString(PyExc_ValueError, "staged writes are of whole pages");
        goto done;
    }
    seen = look_at(objects, pieces, count);
    if (seen < count)
        goto done;
    Target to = {fd, is_staged ? memory.buf : NULL, (size_t)memory.len, 0, (off_t)position};
    Py_BEGIN_ALLOW_THREADS
    failed = write_durably(&to, &head, pieces, count) < 0 ? errno : 0;
    if (!failed && note.len > 0)
        (void)!pwrite(note_fd, note.buf, (size_t)note.len, (off_t)note_at);
    Py_END_ALLOW_THREADS
    if (failed) {
        errno = failed;
        PyErr_SetFromErrno(PyExc_OSError);
    } else {
        size_t tail = to.filled % PAGE_BYTES;
        const char *from = is_staged ? (const char *)to.memory + to.filled - tail : NULL;
        answer = PyBytes_FromStringAndSize(from, is_staged ? (Py_ssize_t)tail : 0);
    }
done:
    for (Py_ssize_t i = 0; i < seen; i++)
        PyBuffer_Release(&pieces[i]);
    PyMem_Free(pieces);
    if (is_staged)
        PyBuffer_Release(&memory);
    PyBuffer_Release(&head);
    PyBuffer_Release(&note);
    return answer;
}

static PyMethodDef methods[] = {
    {"durable", durable, METH_VARARGS, durable_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "wal_core.stores._durable", "See file_writer.py.", 0, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__durable(void)
{
    return PyModule_Create(&definition);
}
