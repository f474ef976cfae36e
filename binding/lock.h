// Locks of files, which Node cannot take.
#pragma once

#include <napi.h>

namespace skrr::binding {

// lockFile(descriptor): Promise<boolean>, whether the file is now locked for this open file alone: false where another one holds it.
// The system frees the lock when the file is closed or the process ends, in whatever way. Rejects where the file system has no locks.
Napi::Value lock_file(const Napi::CallbackInfo& info);

}  // namespace skrr::binding
