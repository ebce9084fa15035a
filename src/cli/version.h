// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string_view>

namespace berth::cli {

inline constexpr std::string_view kVersion = "0.1.0";
inline constexpr std::string_view kBuild = "dev";
#if defined(__x86_64__)
inline constexpr std::string_view kArchitecture = "amd64";
#elif defined(__aarch64__)
inline constexpr std::string_view kArchitecture = "arm64";
#else
inline constexpr std::string_view kArchitecture = "unknown";
#endif

}  // namespace berth::cli
