// SPDX-License-Identifier: Apache-2.0
#include "cli/output/natural_order.h"

#include <algorithm>

namespace berth::cli {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Takes the digits off the front.
std::string_view take_number(std::string_view& text) {
  std::size_t length = std::min(text.find_first_not_of("0123456789"), text.size());
  std::string_view number = text.substr(0, length);
  text.remove_prefix(length);
  return number;
}

std::string_view without_zeros(std::string_view number) {
  return number.substr(std::min(number.find_first_not_of('0'), number.size()));
}

}  // namespace

bool natural_less(std::string_view left, std::string_view right) {
  while (!left.empty() && !right.empty()) {
    if (!is_digit(left[0]) || !is_digit(right[0])) {
      if (left[0] != right[0])
        return static_cast<unsigned char>(left[0]) < static_cast<unsigned char>(right[0]);
      left.remove_prefix(1);
      right.remove_prefix(1);
      continue;
    }
    std::string_view one = take_number(left), other = take_number(right);
    std::string_view value = without_zeros(one), other_value = without_zeros(other);
    if (value.size() != other_value.size()) return value.size() < other_value.size();
    if (value != other_value) return value < other_value;
    if (one.size() != other.size()) return one.size() < other.size();
  }
  return left.size() < right.size();
}

}  // namespace berth::cli
