// SPDX-License-Identifier: Apache-2.0
#include "proxy/routes/route_map.h"

#include <bit>
#include <vector>

namespace berth::proxy {

// A level takes five bits of the hash. Behind the last of them nodes are lists of routes whose hashes are the
// same (`same`), which are searched one by one.
struct RouteMap::Node {
  std::size_t references = 1;
  std::uint32_t inner = 0, leaves = 0;  // which of 32 places hold a node, and which a route
  std::vector<Node*> nodes;             // in the order of their places, owned by reference
  std::vector<RouteRef> routes;

  Node() = default;
  Node(const Node& other)
      : inner(other.inner), leaves(other.leaves), nodes(other.nodes), routes(other.routes) {
    for (Node* node : nodes) ++node->references;
  }
  Node& operator=(const Node&) = delete;
};

namespace {

using Node = RouteMap::Node;
constexpr unsigned kBits = 5, kHashBits = 64;

std::uint64_t hash_of(std::string_view host) noexcept { return std::hash<std::string_view>{}(host); }

void release(Node* node) noexcept {
  if (!node || --node->references > 0) return;
  for (Node* child : node->nodes) release(child);
  delete node;
}

struct Place {
  std::uint32_t bit;
  Place(std::uint64_t hash, unsigned shift) : bit(1u << ((hash >> shift) & 31)) {}
  auto in(std::uint32_t bitmap) const { return std::popcount(bitmap & (bit - 1)); }
};

Node* insert(const Node* node, RouteRef route, std::uint64_t hash, unsigned shift, bool& added);

// A node that holds both, whose hashes are the same up to `shift`.
Node* pair_of(RouteRef first, RouteRef second, unsigned shift) {
  bool added = false;
  const std::uint64_t first_hash = hash_of(first->host), second_hash = hash_of(second->host);
  Node* alone = insert(nullptr, std::move(first), first_hash, shift, added);
  Node* both = insert(alone, std::move(second), second_hash, shift, added);
  release(alone);
  return both;
}

Node* insert_same(const Node* node, RouteRef route, bool& added) {
  Node* copy = node ? new Node(*node) : new Node();
  for (RouteRef& one : copy->routes)
    if (one->host == route->host) {
      one = std::move(route);
      return copy;
    }
  copy->routes.push_back(std::move(route));
  added = true;
  return copy;
}

Node* insert(const Node* node, RouteRef route, std::uint64_t hash, unsigned shift, bool& added) {
  if (shift >= kHashBits) return insert_same(node, std::move(route), added);
  const Place place(hash, shift);
  Node* copy = node ? new Node(*node) : new Node();
  if (copy->inner & place.bit) {
    Node*& child = copy->nodes[static_cast<std::size_t>(place.in(copy->inner))];
    Node* grown = insert(child, std::move(route), hash, shift + kBits, added);
    release(std::exchange(child, grown));
  } else if (!(copy->leaves & place.bit)) {
    copy->routes.insert(copy->routes.begin() + place.in(copy->leaves), std::move(route));
    copy->leaves |= place.bit;
    added = true;
  } else {
    const auto at = copy->routes.begin() + place.in(copy->leaves);
    if ((*at)->host == route->host) {
      *at = std::move(route);
    } else {
      Node* both = pair_of(std::move(*at), std::move(route), shift + kBits);
      copy->routes.erase(at);
      copy->leaves &= ~place.bit;
      copy->nodes.insert(copy->nodes.begin() + place.in(copy->inner), both);
      copy->inner |= place.bit;
      added = true;
    }
  }
  return copy;
}

// Null when nothing is left. The host is there.
Node* erase(const Node* node, std::string_view host, std::uint64_t hash, unsigned shift) {
  Node* copy = new Node(*node);
  if (shift >= kHashBits) {
    std::erase_if(copy->routes, [&](const RouteRef& one) { return one->host == host; });
  } else if (const Place place(hash, shift); copy->inner & place.bit) {
    const auto at = copy->nodes.begin() + place.in(copy->inner);
    Node* shrunk = erase(*at, host, hash, shift + kBits);
    release(std::exchange(*at, shrunk));
    if (!shrunk) {
      copy->nodes.erase(at);
      copy->inner &= ~place.bit;
    }
  } else {
    copy->routes.erase(copy->routes.begin() + place.in(copy->leaves));
    copy->leaves &= ~place.bit;
  }
  if (copy->nodes.empty() && copy->routes.empty()) {
    release(copy);
    return nullptr;
  }
  return copy;
}

void visit(const Node& node, const std::function<void(const RouteRef&)>& each) {
  for (const RouteRef& route : node.routes) each(route);
  for (const Node* child : node.nodes) visit(*child, each);
}

}  // namespace

RouteMap::RouteMap(const RouteMap& other) noexcept : root_(other.root_), size_(other.size_) {
  if (root_) ++root_->references;
}

RouteMap::~RouteMap() { release(root_); }

const RouteRef* RouteMap::find(std::string_view host) const noexcept {
  const std::uint64_t hash = hash_of(host);
  const Node* node = root_;
  for (unsigned shift = 0; node && shift < kHashBits; shift += kBits) {
    const Place place(hash, shift);
    if (node->leaves & place.bit) {
      const RouteRef& route = node->routes[static_cast<std::size_t>(place.in(node->leaves))];
      return route->host == host ? &route : nullptr;
    }
    if (!(node->inner & place.bit)) return nullptr;
    node = node->nodes[static_cast<std::size_t>(place.in(node->inner))];
  }
  if (node)
    for (const RouteRef& route : node->routes)
      if (route->host == host) return &route;
  return nullptr;
}

RouteMap RouteMap::with(RouteRef route) const {
  bool added = false;
  const std::uint64_t hash = hash_of(route->host);
  Node* root = insert(root_, std::move(route), hash, 0, added);
  return RouteMap(root, size_ + (added ? 1 : 0));
}

RouteMap RouteMap::without(std::string_view host) const {
  if (!find(host)) return *this;
  return RouteMap(erase(root_, host, hash_of(host), 0), size_ - 1);
}

void RouteMap::for_each(const std::function<void(const RouteRef&)>& each) const {
  if (root_) visit(*root_, each);
}

}  // namespace berth::proxy
