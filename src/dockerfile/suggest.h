// SPDX-License-Identifier: Apache-2.0
// For messages about text that a stranger wrote: the word that was probably meant, and text made fit to be
// shown.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace berth::dockerfile {

// " (did you mean RUN?)", or nothing where no known word is near. `prefix` stands before the word: "--".
std::string did_you_mean(std::string_view written, std::span<const std::string_view> known,
                         std::string_view prefix = "");

// At most `limit` bytes of it, without control characters: they would reach a terminal.
std::string shown(std::string_view text, std::size_t limit = 100);

}  // namespace berth::dockerfile
