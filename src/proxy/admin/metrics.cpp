// SPDX-License-Identifier: Apache-2.0
#include "proxy/admin/metrics.h"

#include <fmt/format.h>

#include <iterator>

namespace berth::proxy {
namespace {

class Text {
 public:
  void head(std::string_view name, std::string_view type, std::string_view help) {
    fmt::format_to(std::back_inserter(text_), "# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
  }
  template <class... Args>
  void line(fmt::format_string<Args...> format, Args&&... arguments) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(arguments)...);
  }
  void single(std::string_view name, std::string_view type, std::string_view help, std::uint64_t value) {
    head(name, type, help);
    line("{} {}\n", name, value);
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

}  // namespace

std::string format_metrics(const std::vector<const Counters*>& workers, const Gauges& gauges) {
  const auto sum = [&](auto counter) {
    std::uint64_t all = 0;
    for (const Counters* one : workers) all += counter(*one).value();
    return all;
  };
  Text text;
  text.head("berth_proxy_requests_total", "counter",
            "Requests, by the class of the answer's status; cut: no whole answer.");
  for (std::size_t status = 0; status < 6; ++status) {
    const std::uint64_t count =
        sum([&](const Counters& one) -> const Counter& { return one.requests[status]; });
    if (status == 0)
      text.line("berth_proxy_requests_total{{status=\"cut\"}} {}\n", count);
    else
      text.line("berth_proxy_requests_total{{status=\"{}xx\"}} {}\n", status, count);
  }
  text.head("berth_proxy_request_duration_seconds", "histogram",
            "Time from a request's head to its answer's end.");
  std::uint64_t upto = 0;
  for (std::size_t bound = 0; bound <= Counters::kBounds.size(); ++bound) {
    upto += sum([&](const Counters& one) -> const Counter& { return one.durations[bound]; });
    if (bound < Counters::kBounds.size())
      text.line("berth_proxy_request_duration_seconds_bucket{{le=\"{}\"}} {}\n", Counters::kBounds[bound],
                upto);
  }
  text.line("berth_proxy_request_duration_seconds_bucket{{le=\"+Inf\"}} {}\n", upto);
  text.line(
      "berth_proxy_request_duration_seconds_sum {}\n",
      static_cast<double>(sum([](const Counters& one) -> const Counter& { return one.microseconds; })) / 1e6);
  text.line("berth_proxy_request_duration_seconds_count {}\n", upto);
  const auto counter = [&](std::string_view name, std::string_view help, Counter Counters::*member,
                           std::string_view type = "counter") {
    text.single(name, type, help, sum([&](const Counters& one) -> const Counter& { return one.*member; }));
  };
  counter("berth_proxy_connections_total", "Connections of clients.", &Counters::connections);
  counter("berth_proxy_open_connections", "Connections of clients that are open.",
          &Counters::open_connections, "gauge");
  counter("berth_proxy_received_bytes_total", "Bytes of requests' bodies.", &Counters::received_bytes);
  counter("berth_proxy_sent_bytes_total", "Bytes of answers' bodies.", &Counters::sent_bytes);
  counter("berth_proxy_backend_connections_total", "Connections to backends.",
          &Counters::backend_connections);
  counter("berth_proxy_backend_failures_total", "Backends that failed, by a connection or an answer.",
          &Counters::backend_failures);
  counter("berth_proxy_retries_total", "Second tries, at another backend.", &Counters::retries);
  counter("berth_proxy_no_route_total", "Requests for a host that has no route.", &Counters::no_route);
  counter("berth_proxy_malformed_total", "Requests that are none.", &Counters::refused);
  text.single("berth_proxy_routes", "gauge", "Routes that hold.", gauges.routes);
  text.single("berth_proxy_redis_connected", "gauge", "Whether Redis is followed.",
              gauges.redis_connected ? 1 : 0);
  return text.take();
}

}  // namespace berth::proxy
