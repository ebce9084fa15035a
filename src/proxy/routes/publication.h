// SPDX-License-Identifier: Apache-2.0
// The table of routes that holds now, for workers that read it at every request and never wait: a pointer
// that one publisher swaps. What it replaced is freed when no worker can still be reading it, which each says
// by coming by (quiescent-state reclamation).
//
//   PublishedRoutes published;
//   PublishedRoutes::Reader reader(published);       // one a worker
//   for (;;) {
//     reader.sleep(); epoll_wait(...); reader.wake();
//     ... reader.table().find(host) ...              // until the next sleep()
//   }
//   published.publish(std::move(table));             // every find() from now on reads the new one
//
// What a reader wants to keep for longer, it keeps by its RouteRef.
#pragma once
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "proxy/routes/route_table.h"

namespace berth::proxy {

class PublishedRoutes {
 public:
  PublishedRoutes() : current_(new RouteTable()) {}
  PublishedRoutes(const PublishedRoutes&) = delete;
  PublishedRoutes& operator=(const PublishedRoutes&) = delete;
  ~PublishedRoutes();  // behind all readers

  // One thread at a time; the table's map belongs to that thread.
  void publish(RouteTable table);

  class Reader {
   public:
    explicit Reader(PublishedRoutes& published);
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    ~Reader();

    void sleep() noexcept { seen_.store(kAsleep, std::memory_order_release); }
    void wake() noexcept;
    const RouteTable& table() const noexcept { return *published_.current_.load(std::memory_order_acquire); }

   private:
    friend class PublishedRoutes;
    static constexpr std::uint64_t kAsleep = UINT64_MAX;
    PublishedRoutes& published_;
    std::atomic<std::uint64_t> seen_{kAsleep};  // the publication that it woke in
  };

 private:
  struct Retired {
    std::unique_ptr<const RouteTable> table;
    std::uint64_t publication;
  };
  std::uint64_t oldest_seen();
  void free_retired();

  std::atomic<const RouteTable*> current_;
  std::atomic<std::uint64_t> publication_{0};
  std::mutex readers_mutex_;
  std::vector<Reader*> readers_;
  std::deque<Retired> retired_;
};

}  // namespace berth::proxy
