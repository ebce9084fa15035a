// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/passwords.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include <algorithm>
#include <memory>

namespace berth::proxy {
namespace {

constexpr std::size_t kMostQuestions = 256, kMostOfOneClient = 8, kMostKnown = 4096;

bool is_right(const std::string& hash, const std::string& password) {
  const auto data = std::make_unique<crypt_data>();
  const char* made = crypt_r(password.c_str(), hash.c_str(), data.get());
  const std::string_view computed = made ? made : "";
  return computed.size() == hash.size() && !hash.empty() &&
         CRYPTO_memcmp(computed.data(), hash.data(), hash.size()) == 0;
}

// Whoever has one network of IPv6 has 2^64 addresses.
AddressBytes network_of(AddressBytes address) {
  const bool four =
      std::ranges::all_of(address.begin(), address.begin() + 8, [](std::uint8_t byte) { return byte == 0; });
  if (!four) std::fill(address.begin() + 8, address.end(), std::uint8_t{0});
  return address;
}

}  // namespace

PasswordChecker::PasswordChecker(std::function<void()> told)
    : told_(std::move(told)), thread_([this](const std::stop_token& stop) { run(stop); }) {}

// Each client's first question goes before all clients' second ones; where all places are taken, the last one
// of whoever has most gives way.
std::uint64_t PasswordChecker::ask(std::string hash, std::string password, const AddressBytes& address) {
  const AddressBytes client = network_of(address);
  std::lock_guard lock(mutex_);
  if (stopped_) return 0;
  if (const std::uint64_t same = same_question(hash, password)) return ++askers_[same], same;
  const std::size_t asked = questions_of(client);
  if (asked >= kMostOfOneClient) return 0;
  if (questions_.size() >= kMostQuestions) {
    const auto last = std::ranges::max_element(questions_, {}, &Question::turn);
    if (last->turn <= asked) return 0;
    answers_[last->ticket] = PasswordAnswer::turned_away;
    questions_.erase(last);
  }
  const auto behind = std::ranges::upper_bound(questions_, asked, {}, &Question::turn);
  questions_.insert(behind, {++last_ticket_, std::move(hash), std::move(password), client, asked});
  askers_[last_ticket_] = 1;
  more_.notify_one();
  return last_ticket_;
}

// A page's pictures come all at once, and with one password.
std::uint64_t PasswordChecker::same_question(std::string_view hash, std::string_view password) const {
  const auto is_same = [&](const Question& one) { return one.hash == hash && one.password == password; };
  if (now_ && is_same(*now_)) return now_->ticket;
  const auto found = std::ranges::find_if(questions_, is_same);
  return found == questions_.end() ? 0 : found->ticket;
}

void PasswordChecker::asker_leaves(std::uint64_t ticket) {
  if (--askers_[ticket] > 0) return;
  askers_.erase(ticket);
  answers_.erase(ticket);
  std::erase_if(questions_, [&](const Question& one) { return one.ticket == ticket; });
}

std::size_t PasswordChecker::questions_of(const AddressBytes& client) const {
  return static_cast<std::size_t>(std::ranges::count(questions_, client, &Question::client));
}

std::optional<PasswordAnswer> PasswordChecker::take(std::uint64_t ticket) {
  std::lock_guard lock(mutex_);
  const auto found = answers_.find(ticket);
  if (found == answers_.end()) return std::nullopt;
  const PasswordAnswer answer = found->second;
  asker_leaves(ticket);
  return answer;
}

void PasswordChecker::forget(std::uint64_t ticket) {
  std::lock_guard lock(mutex_);
  asker_leaves(ticket);
}

void PasswordChecker::stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    questions_.clear();
  }
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void PasswordChecker::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested() && more_.wait(lock, stop, [&] { return !questions_.empty(); })) {
    const Question question = std::move(questions_.front());
    questions_.pop_front();
    now_ = &question;
    lock.unlock();
    const bool right = is_right(question.hash, question.password);
    lock.lock();
    now_ = nullptr;
    if (askers_.contains(question.ticket))
      answers_[question.ticket] = right ? PasswordAnswer::right : PasswordAnswer::wrong;
    lock.unlock();
    told_();
    lock.lock();
  }
}

KnownPasswords::KnownPasswords() {
  if (getrandom(key_.data(), key_.size(), 0) != static_cast<ssize_t>(key_.size())) key_.fill(0x5a);
}

KnownPasswords::Mark KnownPasswords::mark_of(std::string_view hash, std::string_view password) const {
  std::string text(hash);
  text.append(1, '\0').append(password);
  Mark mark{};
  unsigned size = mark.size();
  HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), mark.data(), &size);
  OPENSSL_cleanse(text.data(), text.size());
  return mark;
}

bool KnownPasswords::has(std::string_view hash, std::string_view password) const {
  return known_.contains(mark_of(hash, password));
}

void KnownPasswords::add(std::string_view hash, std::string_view password) {
  if (known_.size() >= kMostKnown) known_.clear();
  known_.insert(mark_of(hash, password));
}

}  // namespace berth::proxy
