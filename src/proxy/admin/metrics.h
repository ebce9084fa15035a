// SPDX-License-Identifier: Apache-2.0
// What is counted, as Prometheus' text.
#pragma once
#include <string>
#include <vector>

#include "proxy/worker/counters.h"

namespace berth::proxy {

struct Gauges {
  std::size_t routes = 0;
  bool redis_connected = false;
};
std::string format_metrics(const std::vector<const Counters*>& workers, const Gauges& gauges);

}  // namespace berth::proxy
