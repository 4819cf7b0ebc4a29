/* A thread that makes blocks durable and never waits for the interpreter: see compiled_writer.py.
 *
 * The calls are those of file_writer.py, in the same order. A thread in Python needs the interpreter
 * before a write and after it, each time for as long as the loop leaves it; this one takes from a row
 * of its own, writes, syncs and says by a descriptor that something is done. Only Python's stable
 * interface is used: one build serves every version from 3.11.
 *
 * Fields of Writer below `lock` are touched under it; those of a File by the thread alone, or while
 * nothing of it is in the row.
 */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#define _FILE_OFFSET_BITS 64
#define _GNU_SOURCE
#include <Python.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    PAGE_BYTES = 4096,
    NOTE_BYTES_MAX = 64,
    /* Of a group: one that is larger waits for its bytes rather than for what a sync costs. */
    SMALL_BYTES_MAX = 64 * 1024,
    /* Some hundred small groups fit in; writing it takes about as long as one sync. */
    AHEAD_BYTES = 256 * 1024,
};

typedef struct {
    int fd, note_fd, is_direct, is_failed;
    off_t note_at, end;
    off_t ready; /* up to here the file has blocks of the device, and is that long */
    size_t tail_bytes; /* direct: so much before `end` shares a page with what comes */
    uint8_t tail[PAGE_BYTES];
} File;

typedef struct Job {
    struct Job *next;
    PyObject *owner; /* keeps the file */
    File *file;
    off_t position, end;
    Py_ssize_t count;
    size_t note_bytes;
    char note[NOTE_BYTES_MAX];
    int error;      /* of the first of a group, once done: what came of all of it, ... */
    int is_first;
    double seconds; /* ... and how long they took */
    Py_buffer pieces[];
} Job;

typedef struct {
    Job *first, *last;
} Row;

typedef struct {
    PyObject_HEAD
    pthread_t thread;
    int signal_fd;
    Py_buffer staging;
    pthread_mutex_t lock;
    pthread_cond_t wanted, idle;
    Row waiting, done;
    int is_begun, is_busy, is_over;
} Writer;

/* -- what the thread does: nothing here touches Python ------------------------------------------- */

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

/* Zeros behind what is written, for what comes next: a sync of bytes that are in place already has
 * nothing to tell the file system's journal, and takes two thirds of the time. Recovery takes the
 * zeros for a torn tail, and a finished file is cut. Without them it goes as well. */
static void write_ahead(File *file, off_t position)
{
    static _Alignas(4096) uint8_t zeros[AHEAD_BYTES];
    if (file->ready < position)
        file->ready = position + (write_all(file->fd, zeros, AHEAD_BYTES, position) < 0 ? 0 : AHEAD_BYTES);
}

static int sync_data(int fd)
{
#if defined(__linux__)
    return fdatasync(fd);
#else
    return fsync(fd);
#endif
}

/* Jobs of one file that follow each other: all of them durable, or none counts. */
static int write_group(const Writer *self, const Job *job)
{
    File *file = job->file;
    off_t start = file->end - (off_t)file->tail_bytes;
    Target to = {file->fd, file->is_direct ? self->staging.buf : NULL, (size_t)self->staging.len, 0,
                 start};
    const Job *last = job;
    if (put(&to, file->tail, file->tail_bytes) < 0)
        return -1;
    for (; job != NULL; last = job, job = job->next)
        for (Py_ssize_t i = 0; i < job->count; i++)
            if (put(&to, job->pieces[i].buf, (size_t)job->pieces[i].len) < 0)
                return -1;
    if (put_rest(&to) < 0)
        return -1;
    if (last->end - start <= SMALL_BYTES_MAX)
        write_ahead(file, (last->end + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES);
    if (sync_data(file->fd) < 0)
        return -1;
    file->end = last->end;
    if (file->is_direct) {
        file->tail_bytes = to.filled % PAGE_BYTES;
        memcpy(file->tail, to.memory + to.filled - file->tail_bytes, file->tail_bytes);
    }
    /* Whoever reads the note can do without; the blocks are durable. */
    if (last->note_bytes > 0)
        (void)!pwrite(file->note_fd, last->note, last->note_bytes, file->note_at);
    return 0;
}

/* Takes the first job and those behind it that share its sync out of the row. */
static Job *take_group(Row *row)
{
    Job *first = row->first, *last = first;
    while (last->next != NULL && last->next->file == first->file && last->next->position == last->end)
        last = last->next;
    row->first = last->next;
    if (row->first == NULL)
        row->last = NULL;
    last->next = NULL;
    return first;
}

static void append(Row *row, Job *first)
{
    Job *last = first;
    while (last->next != NULL)
        last = last->next;
    if (row->last != NULL)
        row->last->next = first;
    else
        row->first = first;
    row->last = last;
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void *run(void *argument)
{
    Writer *self = argument;
    pthread_mutex_lock(&self->lock);
    for (;;) {
        while (self->waiting.first == NULL && !self->is_over)
            pthread_cond_wait(&self->wanted, &self->lock);
        if (self->waiting.first == NULL)
            break;
        Job *group = take_group(&self->waiting);
        self->is_busy = 1;
        pthread_mutex_unlock(&self->lock);
        double began_s = now_s();
        File *file = group->file;
        /* Behind a block that failed nothing is written: it has to come again first. */
        group->error = file->is_failed || group->position != file->end ? EAGAIN : 0;
        if (group->error == 0 && write_group(self, group) < 0)
            group->error = errno;
        file->is_failed |= group->error != 0;
        group->seconds = now_s() - began_s;
        group->is_first = 1;
        pthread_mutex_lock(&self->lock);
        int is_news = self->done.first == NULL;
        append(&self->done, group);
        if (is_news) { /* else whoever was told of the last has not looked yet */
            uint64_t one = 1;
            pthread_mutex_unlock(&self->lock);
            (void)!write(self->signal_fd, &one, sizeof one);
            pthread_mutex_lock(&self->lock);
        }
        self->is_busy = 0;
        if (self->waiting.first == NULL)
            pthread_cond_broadcast(&self->idle);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

/* -- what Python sees ---------------------------------------------------------------------------- */

static const char CAPSULE[] = "wal_core.stores._durable.File";

static void free_file(PyObject *capsule)
{
    PyMem_Free(PyCapsule_GetPointer(capsule, CAPSULE));
}

static void free_job(Job *job)
{
    for (Py_ssize_t i = 0; i < job->count; i++)
        PyBuffer_Release(&job->pieces[i]);
    Py_DECREF(job->owner);
    PyMem_Free(job);
}

PyDoc_STRVAR(open_doc,
"open(fd, is_direct, end, tail, note_fd, note_at)\n\n"
"What `submit` writes to: a file that is durable up to `end`. Direct writes are of whole pages: `tail`\n"
"is what the page holds that `end` lies in. Where each group ends is noted at `note_at` of `note_fd`.");

static PyObject *writer_open(PyObject *object, PyObject *args)
{
    (void)object;
    int fd, is_direct, note_fd;
    long long end, note_at;
    Py_buffer tail;
    if (!PyArg_ParseTuple(args, "ipLy*iL", &fd, &is_direct, &end, &tail, &note_fd, &note_at))
        return NULL;
    PyObject *capsule = NULL;
    File *file = NULL;
    if (is_direct ? tail.len != end % PAGE_BYTES : tail.len != 0)
        PyErr_SetString(PyExc_ValueError, "the tail is not what lies before the end in its page");
    else if ((file = PyMem_Calloc(1, sizeof *file)) == NULL)
        PyErr_NoMemory();
    else if ((capsule = PyCapsule_New(file, CAPSULE, free_file)) == NULL)
        PyMem_Free(file);
    else {
        file->fd = fd, file->note_fd = note_fd, file->is_direct = is_direct;
        file->note_at = (off_t)note_at, file->end = file->ready = (off_t)end;
        file->tail_bytes = (size_t)tail.len;
        memcpy(file->tail, tail.buf, file->tail_bytes);
    }
    PyBuffer_Release(&tail);
    return capsule;
}

PyDoc_STRVAR(look_doc,
"look(file) -> (end, tail, is_failed)\n\nOf a file of which nothing is under way: see `drain`.");

static PyObject *writer_look(PyObject *object, PyObject *capsule)
{
    (void)object;
    File *file = PyCapsule_GetPointer(capsule, CAPSULE);
    if (file == NULL)
        return NULL;
    return Py_BuildValue("Ly#O", (long long)file->end, (const char *)file->tail,
                         (Py_ssize_t)file->tail_bytes, file->is_failed ? Py_True : Py_False);
}

PyDoc_STRVAR(submit_doc,
"submit(file, position, pieces, note)\n\n"
"Have the pieces written at `position`, where the last ones of the file end, and the note after them.");

static PyObject *writer_submit(PyObject *object, PyObject *args)
{
    Writer *self = (Writer *)object;
    PyObject *capsule, *objects;
    long long position;
    Py_buffer note;
    if (!PyArg_ParseTuple(args, "OLOy*", &capsule, &position, &objects, &note))
        return NULL;
    File *file = PyCapsule_GetPointer(capsule, CAPSULE);
    Py_ssize_t count = file == NULL ? -1 : PySequence_Size(objects);
    Job *job = NULL;
    if (count >= 0 && (note.len > NOTE_BYTES_MAX || self->is_over))
        PyErr_SetString(PyExc_ValueError, self->is_over ? "the writer is closed" : "a long note");
    else if (count >= 0 && (job = PyMem_Calloc(1, sizeof *job + (size_t)count * sizeof *job->pieces)) == NULL)
        PyErr_NoMemory();
    if (job != NULL) {
        job->owner = Py_NewRef(capsule);
        job->file = file;
        job->position = job->end = (off_t)position;
        job->note_bytes = (size_t)note.len;
        memcpy(job->note, note.buf, job->note_bytes);
        for (; job->count < count; job->count++) {
            Py_buffer *piece = &job->pieces[job->count];
            PyObject *item = PySequence_GetItem(objects, job->count);
            int is_fine = item != NULL && PyObject_GetBuffer(item, piece, PyBUF_SIMPLE) == 0;
            Py_XDECREF(item); /* the buffer keeps it */
            if (!is_fine)
                break;
            job->end += (off_t)piece->len;
        }
        if (job->count < count) {
            free_job(job);
            job = NULL;
        }
    }
    PyBuffer_Release(&note);
    if (job == NULL)
        return NULL;
    int error = 0;
    pthread_mutex_lock(&self->lock);
    if (!self->is_begun && (error = pthread_create(&self->thread, NULL, run, self)) == 0)
        self->is_begun = 1;
    if (error == 0) {
        append(&self->waiting, job);
        pthread_cond_signal(&self->wanted);
    }
    pthread_mutex_unlock(&self->lock);
    if (error != 0) {
        free_job(job);
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(collect_doc,
"collect() -> [(count, errno, seconds), ...]\n\n"
"What is done, in the order of submitting: so many jobs each, with one sync, and what came of it.");

static PyObject *writer_collect(PyObject *object, PyObject *Py_UNUSED(nothing))
{
    Writer *self = (Writer *)object;
    pthread_mutex_lock(&self->lock);
    Job *job = self->done.first;
    self->done.first = self->done.last = NULL;
    pthread_mutex_unlock(&self->lock);
    PyObject *found = PyList_New(0);
    while (job != NULL) {
        int error = job->error;
        double seconds = job->seconds;
        Py_ssize_t count = 0;
        do {
            Job *next = job->next;
            free_job(job);
            job = next;
            count++;
        } while (job != NULL && !job->is_first);
        PyObject *one = found == NULL ? NULL : Py_BuildValue("nid", count, error, seconds);
        if (one == NULL || PyList_Append(found, one) < 0)
            Py_CLEAR(found);
        Py_XDECREF(one);
    }
    return found;
}

PyDoc_STRVAR(drain_doc, "drain()\n\nWait until all that was submitted is done.");

static PyObject *writer_drain(PyObject *object, PyObject *Py_UNUSED(nothing))
{
    Writer *self = (Writer *)object;
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&self->lock);
    while (self->waiting.first != NULL || self->is_busy)
        pthread_cond_wait(&self->idle, &self->lock);
    pthread_mutex_unlock(&self->lock);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyDoc_STRVAR(close_doc, "close()\n\nAs `drain`, and end the thread. `collect` brings the rest.");

static PyObject *writer_close(PyObject *object, PyObject *Py_UNUSED(nothing))
{
    Writer *self = (Writer *)object;
    pthread_mutex_lock(&self->lock);
    int was_begun = self->is_begun;
    self->is_over = 1;
    self->is_begun = 0;
    pthread_cond_signal(&self->wanted);
    pthread_mutex_unlock(&self->lock);
    Py_BEGIN_ALLOW_THREADS
    if (was_begun)
        pthread_join(self->thread, NULL);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *writer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)kwargs;
    PyObject *staging;
    int signal_fd;
    if (!PyArg_ParseTuple(args, "iO", &signal_fd, &staging))
        return NULL;
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Writer *self = (Writer *)make(type, 0);
    if (self == NULL)
        return NULL;
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->wanted, NULL);
    pthread_cond_init(&self->idle, NULL);
    self->signal_fd = signal_fd;
    if (PyObject_GetBuffer(staging, &self->staging, PyBUF_WRITABLE) == 0) {
        if (self->staging.len > 0 && self->staging.len % PAGE_BYTES == 0)
            return (PyObject *)self;
        PyErr_SetString(PyExc_ValueError, "staged writes are of whole pages");
    }
    Py_DECREF(self);
    return NULL;
}

static void writer_dealloc(PyObject *object)
{
    Writer *self = (Writer *)object;
    PyTypeObject *type = Py_TYPE(object);
    Py_XDECREF(writer_close(object, NULL));
    Py_XDECREF(writer_collect(object, NULL));
    if (self->staging.obj != NULL)
        PyBuffer_Release(&self->staging);
    pthread_cond_destroy(&self->idle);
    pthread_cond_destroy(&self->wanted);
    pthread_mutex_destroy(&self->lock);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"open", writer_open, METH_VARARGS, open_doc},
    {"look", writer_look, METH_O, look_doc},
    {"submit", writer_submit, METH_VARARGS, submit_doc},
    {"collect", writer_collect, METH_NOARGS, collect_doc},
    {"drain", writer_drain, METH_NOARGS, drain_doc},
    {"close", writer_close, METH_NOARGS, close_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(writer_doc,
"Writer(signal_fd, staging)\n\n"
"The thread. It writes eight bytes to `signal_fd` when `collect` has something again, and lets direct\n"
"writes pass through `staging`, memory of whole pages on a page border, while something is under way.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)writer_doc},
    {Py_tp_new, writer_new},
    {Py_tp_dealloc, writer_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    "wal_core.stores._durable.Writer", sizeof(Writer), 0, Py_TPFLAGS_DEFAULT, slots,
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "wal_core.stores._durable", "See compiled_writer.py.", 0, NULL,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__durable(void)
{
    PyObject *module = PyModule_Create(&definition);
    PyObject *type = module == NULL ? NULL : PyType_FromSpec(&spec);
    if (type == NULL || PyModule_AddObjectRef(module, "Writer", type) < 0)
        Py_CLEAR(module);
    Py_XDECREF(type);
    return module;
}
