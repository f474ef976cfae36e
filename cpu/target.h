// What stands between SKRR_TARGET(features) and SKRR_TARGET_END is compiled for these features of the processor, whatever the
// rest of the build is for. Includes come before it. (As simdjson does.)
#pragma once

#define SKRR_PRAGMA(text) _Pragma(#text)

#ifdef __clang__
#define SKRR_TARGET(features) SKRR_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define SKRR_TARGET_END SKRR_PRAGMA(clang attribute pop)
#else
#define SKRR_TARGET(features) SKRR_PRAGMA(GCC push_options) SKRR_PRAGMA(GCC target(features))
#define SKRR_TARGET_END SKRR_PRAGMA(GCC pop_options)
#endif
