// How the C library's allocator treats freed memory.
#pragma once

namespace loraptor {

/// Keeps freed memory for the next step instead of giving it back to the system and having it cleared again: every step
/// needs the same buffers (121 steps of a small model take a tenth less time). Blocks above 32 MiB still go back at
/// once. Call before the first thread starts. Without effect where the C library is not glibc.
void keep_freed_memory();

}  // namespace loraptor
