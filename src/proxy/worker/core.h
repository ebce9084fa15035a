// SPDX-License-Identifier: Apache-2.0
// What the connections and exchanges of one worker share. All of it belongs to the worker's thread, but what
// says otherwise.
#pragma once
#include <cstdint>

#include "proxy/routes/publication.h"
#include "proxy/settings.h"
#include "proxy/worker/access_log.h"
#include "proxy/worker/buffers.h"
#include "proxy/worker/counters.h"
#include "proxy/worker/error_pages.h"
#include "proxy/worker/passwords.h"
#include "proxy/worker/poller.h"
#include "proxy/worker/random.h"
#include "proxy/worker/timers.h"
#include "proxy/worker/waiting_line.h"

namespace berth::proxy {

class UpstreamPool;
class Mirrors;

// Told of what backends do, for other proxies to know. Called on a worker's thread; must not block.
class DeathListener {
 public:
  virtual ~DeathListener() = default;
  virtual void died(const RouteRef& route, std::size_t backend) = 0;
};

// Where routes come from whose changes may be on their way here. A request without a route waits for those.
class RouteSource {
 public:
  virtual ~RouteSource() = default;
  // Asks for all changes up to now. What to wait for; 0: nothing. All workers are told when something is
  // done.
  virtual std::uint64_t ask() = 0;
  virtual bool has_done(std::uint64_t asked) const = 0;
};

class Exchange;

struct Core {
  const Settings& settings;
  Poller& poller;
  Timers& timers;
  BufferPool& buffers;
  PublishedRoutes::Reader& routes;
  UpstreamPool& upstreams;
  AccessLog& log;
  const ErrorPages& pages;
  Counters& counters;  // read by others
  DeathListener& deaths;
  RouteSource* source;  // may be null
  PasswordChecker* passwords;
  Mirrors* mirrors;
  Random random;
  KnownPasswords known_passwords = {};
  WaitingLine<Exchange> for_answers = {};  // of a source of routes, or to a password
  Turns turns = {};
  bool draining = false;  // no request is to follow one under way
};

}  // namespace berth::proxy
