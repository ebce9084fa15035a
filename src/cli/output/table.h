// SPDX-License-Identifier: Apache-2.0
// Columns of text as Go's text/tabwriter aligns them: cells end in a tab; a column is as wide as its widest
// cell and `padding` blanks, at least `minimum`; a line with fewer cells ends the columns that it lacks.
#pragma once
#include <string>
#include <string_view>

namespace berth::cli {

std::string align_columns(std::string_view text, std::size_t minimum = 10, std::size_t padding = 3);

}  // namespace berth::cli
