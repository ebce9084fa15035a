// SPDX-License-Identifier: Apache-2.0
#include "registryd/metrics.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>

#include "base/file.h"
#include "base/text.h"

namespace berth::registryd {
namespace {

std::uint64_t resident_bytes() {
  Result<std::string> text = read_file("/proc/self/statm");
  if (!text) return 0;
  auto pages = parse_integer<std::uint64_t>(split_once(split_once(*text, ' ').second, ' ').first);
  return pages.value_or(0) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

void head(std::string& out, std::string_view name, std::string_view type, std::string_view help) {
  fmt::format_to(std::back_inserter(out), "# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
}

template <class Number>
void single(std::string& out, std::string_view name, std::string_view type, std::string_view help,
            Number value) {
  head(out, name, type, help);
  fmt::format_to(std::back_inserter(out), "{} {}\n", name, value);
}

}  // namespace

void Metrics::request_done(Endpoint endpoint, int status, std::chrono::nanoseconds duration) noexcept {
  PerEndpoint& counters = endpoints_[static_cast<std::size_t>(endpoint)];
  counters.by_class[static_cast<std::size_t>(std::clamp(status / 100, 1, 5))].fetch_add(
      1, std::memory_order_relaxed);
  counters.nanoseconds.fetch_add(static_cast<std::uint64_t>(duration.count()), std::memory_order_relaxed);
  const double seconds = std::chrono::duration<double>(duration).count();
  for (std::size_t i = 0; i < kBuckets.size(); ++i)
    if (seconds <= kBuckets[i]) {
      counters.by_duration[i].fetch_add(1, std::memory_order_relaxed);
      break;
    }
}

void Metrics::garbage_collected(std::uint64_t blobs, std::uint64_t bytes) noexcept {
  collected_blobs_.fetch_add(blobs, std::memory_order_relaxed);
  collected_bytes_.fetch_add(bytes, std::memory_order_relaxed);
}

std::string Metrics::text(const Gauges& gauges) const {
  std::string out;
  auto append = [&]<class... Args>(fmt::format_string<Args...> format, Args&&... arguments) {
    fmt::format_to(std::back_inserter(out), format, std::forward<Args>(arguments)...);
  };
  head(out, "registry_http_requests_total", "counter", "Requests, by endpoint and class of status.");
  for (std::size_t i = 0; i < kEndpoints; ++i)
    for (std::size_t status = 1; status < 6; ++status)
      if (auto count = endpoints_[i].by_class[status].load(std::memory_order_relaxed))
        append("registry_http_requests_total{{endpoint=\"{}\",status=\"{}xx\"}} {}\n",
               name_of(static_cast<Endpoint>(i)), status, count);
  head(out, "registry_http_request_duration_seconds", "histogram",
       "Time from a request's head to its answer's end.");
  for (std::size_t i = 0; i < kEndpoints; ++i) {
    const std::string_view name = name_of(static_cast<Endpoint>(i));
    std::uint64_t all = 0, upto = 0;
    for (const Counter& count : endpoints_[i].by_class) all += count.load(std::memory_order_relaxed);
    if (all == 0) continue;
    for (std::size_t b = 0; b < kBuckets.size(); ++b) {
      upto += endpoints_[i].by_duration[b].load(std::memory_order_relaxed);
      append("registry_http_request_duration_seconds_bucket{{endpoint=\"{}\",le=\"{}\"}} {}\n", name,
             kBuckets[b], upto);
    }
    append("registry_http_request_duration_seconds_bucket{{endpoint=\"{}\",le=\"+Inf\"}} {}\n", name, all);
    append("registry_http_request_duration_seconds_sum{{endpoint=\"{}\"}} {}\n", name,
           static_cast<double>(endpoints_[i].nanoseconds.load(std::memory_order_relaxed)) / 1e9);
    append("registry_http_request_duration_seconds_count{{endpoint=\"{}\"}} {}\n", name, all);
  }
  single(out, "registry_received_bytes_total", "counter", "Bytes of blobs and manifests taken in.",
         received_.load());
  single(out, "registry_sent_bytes_total", "counter", "Bytes of blobs and manifests given out.",
         sent_.load());
  single(out, "registry_manifest_cache_hits_total", "counter", "Manifests found in memory.", hits_.load());
  single(out, "registry_manifest_cache_misses_total", "counter", "Manifests looked for elsewhere.",
         misses_.load());
  single(out, "registry_garbage_blobs_total", "counter", "Blobs that garbage collection removed.",
         collected_blobs_.load());
  single(out, "registry_garbage_bytes_total", "counter", "Bytes that garbage collection freed.",
         collected_bytes_.load());
  single(out, "registry_notifications_dropped_total", "counter", "Events that no queue had room for.",
         gauges.notifications_dropped);
  single(out, "registry_repositories", "gauge", "Repositories.", gauges.repositories);
  single(out, "registry_manifests", "gauge", "Manifests, counted once a repository.", gauges.manifests);
  single(out, "registry_tags", "gauge", "Tags.", gauges.tags);
  single(out, "registry_blob_links", "gauge", "Blobs, counted once a repository.", gauges.blobs);
  single(out, "registry_connections", "gauge", "Open connections.", gauges.connections);
  single(out, "registry_uploads", "gauge", "Uploads that go on.", gauges.uploads);
  single(out, "process_resident_memory_bytes", "gauge", "Memory in use.", resident_bytes());
  return out;
}

}  // namespace berth::registryd
