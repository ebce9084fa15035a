// SPDX-License-Identifier: Apache-2.0
#include "proxy/routes/publication.h"

#include <algorithm>

namespace berth::proxy {

PublishedRoutes::~PublishedRoutes() { delete current_.load(); }

// Sequential consistency orders the store to current_ and the loads of seen_ against a reader's store to
// seen_ and its load of current_: either this sees that the reader is awake, or the reader sees the new
// table.
void PublishedRoutes::publish(RouteTable table) {
  const RouteTable* before = current_.exchange(new RouteTable(std::move(table)), std::memory_order_seq_cst);
  const std::uint64_t publication = publication_.fetch_add(1, std::memory_order_seq_cst) + 1;
  retired_.push_back({std::unique_ptr<const RouteTable>(before), publication});
  free_retired();
}

std::uint64_t PublishedRoutes::oldest_seen() {
  std::lock_guard lock(readers_mutex_);
  std::uint64_t oldest = Reader::kAsleep;
  for (const Reader* reader : readers_)
    oldest = std::min(oldest, reader->seen_.load(std::memory_order_seq_cst));
  return oldest;
}

// Who woke in publication n or later cannot have what publication n retired.
void PublishedRoutes::free_retired() {
  const std::uint64_t oldest = oldest_seen();
  while (!retired_.empty() && retired_.front().publication <= oldest) retired_.pop_front();
}

PublishedRoutes::Reader::Reader(PublishedRoutes& published) : published_(published) {
  std::lock_guard lock(published_.readers_mutex_);
  published_.readers_.push_back(this);
}

PublishedRoutes::Reader::~Reader() {
  std::lock_guard lock(published_.readers_mutex_);
  std::erase(published_.readers_, this);
}

void PublishedRoutes::Reader::wake() noexcept {
  seen_.store(published_.publication_.load(std::memory_order_seq_cst), std::memory_order_seq_cst);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

}  // namespace berth::proxy
