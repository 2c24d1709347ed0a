// SPDX-License-Identifier: Apache-2.0
// Preloaded into a program: while the file that $FAIL_HEADER_WRITE names is there, and it goes with
// the first try, a header of an LMDB file cannot be written (mdb_env_write_meta of mdb.c writes
// less than a page into one of the first two).
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

extern "C" ssize_t pwrite(int file, const void* bytes, size_t count, off_t at) {
    using Write = ssize_t (*)(int, const void*, size_t, off_t);
    static const auto next = reinterpret_cast<Write>(dlsym(RTLD_NEXT, "pwrite"));
    const char* flag = getenv("FAIL_HEADER_WRITE");
    if (at > 0 && at < 2 * 4096 && count < 4096 && flag != nullptr && unlink(flag) == 0) {
        errno = ENOSPC;
        return -1;
    }
    return next(file, bytes, count, at);
}
