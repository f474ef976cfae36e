# The fallback for machines without CMake (scripts/build-native.mjs): the CPU addon, from the same list of sources.
{
  "targets": [
    {
      "target_name": "skrr",
      "sources": ["<!@(node -p \"require('fs').readFileSync('../sources.txt', 'utf8').trim().split('\\n').map((file) => '../' + file).join(' ')\")"],
      "include_dirs": ["..", "<!(node -p \"require('path').resolve(require('node-addon-api').include_dir)\")"],
      "defines": ["NAPI_VERSION=9", "NODE_ADDON_API_CPP_EXCEPTIONS", "NODE_ADDON_API_CPP_EXCEPTIONS_ALL", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags!": ["-fno-exceptions"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++14", "-std=gnu++17", "-std=gnu++20"],
      "cflags_cc": ["-std=gnu++17", "-O3", "-fexceptions", "-fvisibility=hidden", "-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2", "-ffile-prefix-map=<(module_root_dir)/../="],
      "conditions": [["OS=='linux'", {
        "libraries": ["-ldl"],
        "ldflags": ["-static-libstdc++", "-s", "-Wl,--gc-sections", "-Wl,-z,relro,-z,now,-z,noexecstack", "-Wl,--version-script=<(module_root_dir)/../exports.map"]
      }]],
      "xcode_settings": {
        "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
        "CLANG_CXX_LANGUAGE_STANDARD": "gnu++17",
        "MACOSX_DEPLOYMENT_TARGET": "11.0"
      }
    }
  ]
}
