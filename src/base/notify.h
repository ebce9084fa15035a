// SPDX-License-Identifier: Apache-2.0
// What a service says of itself to the manager that has started it (sd_notify(3)'s protocol): "READY=1",
// "STOPPING=1", "MAINPID=17\nREADY=1". Says nothing where nobody has asked to be told (NOTIFY_SOCKET).
#pragma once
#include <string_view>

namespace berth {

void notify_manager(std::string_view state);

}  // namespace berth
