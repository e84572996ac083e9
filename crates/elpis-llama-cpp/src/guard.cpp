// Calls of llama.cpp that may throw, or fail an assertion.
//
// llama.cpp is C++ behind a C interface: an exception that leaves it would pass through Rust, which
// ends the program. Its assertions end the program too. Here the one is caught, and the other is
// made into one, where the thread that failed it is the one that called.
//
// Only what the C++ standard library has is used, so that no header of llama.cpp is needed.

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>

#if defined(ELPIS_OPENMP)
// Of libgomp or libomp, which llama.cpp is linked with.
extern "C" int omp_in_parallel(void);
#endif

namespace {

// Which assertions become exceptions on this thread: none, all, or those outside of a team of
// threads, which would wait for the one that left.
enum Mode { NONE = 0, ALL = 1, OUTSIDE_TEAMS = 2 };

thread_local int mode = NONE;

// The last assertion of the guarded call. llama.cpp may catch what is thrown for it.
thread_local char failed[1024];

bool may_throw() {
    switch (mode) {
        case ALL:
            return true;
        case OUTSIDE_TEAMS:
#if defined(ELPIS_OPENMP)
            return omp_in_parallel() == 0;
#else
            // Its own threads cannot be told from a call that computes nothing.
            return false;
#endif
        default:
            return false;
    }
}

// The file's name without the folders of whoever built it.
const char * without_folders(const char * message) {
    const char * start = message;
    for (const char * at = message; *at != '\0' && *at != ' '; ++at) {
        if (*at == '/' || *at == '\\') {
            start = at + 1;
        }
    }
    return start;
}

void put(char * message, size_t capacity, const char * text) {
    if (capacity > 0) {
        std::strncpy(message, text, capacity - 1);
        message[capacity - 1] = '\0';
    }
}

// In place of ggml's own, which attaches a debugger to the process to print a backtrace.
[[noreturn]] void on_terminate() {
    const char * what = "an exception of an unknown kind";
    char text[1024];
    if (std::exception_ptr error = std::current_exception()) {
        try {
            std::rethrow_exception(error);
        } catch (const std::exception & error) {
            put(text, sizeof text, error.what());
            what = text;
        } catch (...) {
        }
    }
    std::fprintf(stderr, "llama.cpp ended the program: %s\n", what);
    std::abort();
}

}  // namespace

extern "C" {

// What ggml calls before it aborts.
void elpis_on_abort(const char * message) {
    message = without_folders(message);
    if (may_throw()) {
        mode = NONE;
        put(failed, sizeof failed, message);
        throw std::runtime_error(message);
    }
    std::fprintf(stderr, "llama.cpp ended the program: %s\n", message);
}

void elpis_install_terminate_handler(void) { std::set_terminate(on_terminate); }

// Does the work; 0 if it came back, 1 if it threw, 2 if an assertion failed, and then which.
int elpis_guard(void (*work)(void *), void * data, int assertions, char * message, size_t capacity) {
    const int before = mode;
    mode = assertions;
    failed[0] = '\0';
    int code = 0;
    try {
        work(data);
    } catch (const std::exception & error) {
        put(message, capacity, error.what());
        code = 1;
    } catch (...) {
        put(message, capacity, "an exception of an unknown kind");
        code = 1;
    }
    mode = before;
    if (failed[0] != '\0') {
        put(message, capacity, failed);
        code = 2;
    }
    return code;
}

}
