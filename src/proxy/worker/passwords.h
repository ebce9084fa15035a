// SPDX-License-Identifier: Apache-2.0
// Passwords against crypt(3)'s hashes, which take milliseconds each on purpose: on a thread of their own, so
// that no other request waits for one. What was right once is remembered by each worker, as a keyed digest.
#pragma once
#include <array>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>

#include "proxy/network.h"

namespace berth::proxy {

enum class PasswordAnswer : std::uint8_t {
  right,
  wrong,
  turned_away
};  // the last: others had to have the place

// Thread-safe.
class PasswordChecker {
 public:
  // `told` is called, on the checker's thread, when there is an answer.
  explicit PasswordChecker(std::function<void()> told);

  // What to take() by; 0: too many wait already, of this client or of all.
  std::uint64_t ask(std::string hash, std::string password, const AddressBytes& client);
  std::optional<PasswordAnswer> take(std::uint64_t ticket);  // nothing: not yet
  void forget(std::uint64_t ticket);
  void stop();  // nobody is told from here on

 private:
  struct Question {
    std::uint64_t ticket;
    std::string hash, password;
    AddressBytes client;   // a network of IPv6 is one
    std::size_t turn = 0;  // how many of the client's own were before it
  };
  std::uint64_t same_question(std::string_view hash, std::string_view password) const;  // 0: none
  void asker_leaves(std::uint64_t ticket);
  std::size_t questions_of(const AddressBytes& client) const;
  void run(const std::stop_token& stop);

  const std::function<void()> told_;
  std::mutex mutex_;
  std::condition_variable_any more_;
  std::deque<Question> questions_;
  std::uint64_t last_ticket_ = 0;
  std::map<std::uint64_t, PasswordAnswer> answers_;
  std::map<std::uint64_t, std::size_t> askers_;  // who wait for an answer or have not taken it
  const Question* now_ = nullptr;                // that is looked at
  bool stopped_ = false;
  std::jthread thread_;
};

// Of one worker.
class KnownPasswords {
 public:
  KnownPasswords();
  bool has(std::string_view hash, std::string_view password) const;
  void add(std::string_view hash, std::string_view password);

 private:
  using Mark = std::array<unsigned char, 32>;
  Mark mark_of(std::string_view hash, std::string_view password) const;
  Mark key_{};
  std::set<Mark> known_;
};

}  // namespace berth::proxy
