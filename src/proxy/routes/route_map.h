// SPDX-License-Identifier: Apache-2.0
// Routes by host, in a tree that shares what did not change with its predecessor (a hash array mapped trie):
// with() and without() copy the few nodes on the way to one route, so that a change costs the same among a
// million routes as among ten, and whoever still reads the old map reads on undisturbed.
//
// Readers take nothing and count nothing: they must know by other means that the map they read is there
// (publication.h). Nodes are counted by their maps, which belong to one thread at a time.
#pragma once
#include <cstddef>
#include <functional>
#include <string_view>
#include <utility>

#include "proxy/routes/route.h"

namespace berth::proxy {

class RouteMap {
 public:
  RouteMap() = default;
  RouteMap(const RouteMap& other) noexcept;
  RouteMap(RouteMap&& other) noexcept
      : root_(std::exchange(other.root_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  RouteMap& operator=(RouteMap other) noexcept {
    std::swap(root_, other.root_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~RouteMap();

  const RouteRef* find(std::string_view host) const noexcept;
  RouteMap with(RouteRef route) const;  // in the place of one for its host
  RouteMap without(std::string_view host) const;

  std::size_t size() const noexcept { return size_; }
  void for_each(const std::function<void(const RouteRef&)>& each) const;  // in no order

  struct Node;

 private:
  RouteMap(Node* root, std::size_t size) : root_(root), size_(size) {}
  Node* root_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace berth::proxy
