// SPDX-License-Identifier: Apache-2.0
// Basic authentication against Apache's htpasswd file: lines "user:hash", bcrypt alone, as in the CNCF
// registry. The file is read again when it changes.
#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/stat.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <unordered_map>

#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "registryd/access.h"

namespace berth::registryd {
namespace {

constexpr std::size_t kFileLimit = 4u << 20;
constexpr std::size_t kCredentialLimit = 1024;  // bytes of user and password
constexpr std::size_t kRemembered = 1024;       // credentials that were right
constexpr auto kRememberTime = std::chrono::minutes(5);
constexpr auto kLookInterval = std::chrono::seconds(1);  // between looks at the file's time
constexpr int kHashesAtOnce = 2;                         // each keeps a core busy for a while

// What is hashed for a user who does not exist, so that this takes as long as for one who does.
constexpr const char* kNobodysHash = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

bool is_bcrypt(std::string_view hash) {
  return hash.size() == 60 &&
         (hash.starts_with("$2a$") || hash.starts_with("$2b$") || hash.starts_with("$2y$"));
}

bool matches(const std::string& password, const std::string& hash) {
  auto data = std::make_unique<crypt_data>();
  const char* made = crypt_r(password.c_str(), hash.c_str(), data.get());
  const bool same = made && std::string_view(made).size() == hash.size() &&
                    CRYPTO_memcmp(made, hash.data(), hash.size()) == 0;
  OPENSSL_cleanse(data.get(), sizeof *data);
  return same;
}

using Passwords = std::unordered_map<std::string, std::string>;

Passwords parse_passwords(std::string_view text, const std::string& path) {
  Passwords passwords;
  std::size_t number = 0;
  for (std::string_view line : split(text, '\n')) {
    ++number;
    line = trim(line);
    if (line.empty() || line.starts_with('#')) continue;
    auto [user, hash] = split_once(line, ':');
    if (user.empty() || !is_bcrypt(hash))
      log_warning("registry", "{}:{}: not \"user:\" and a bcrypt hash; make it with htpasswd -B", path,
                  number);
    else
      passwords[std::string(user)] = hash;
  }
  return passwords;
}

class HtpasswdAccess final : public Access {
 public:
  explicit HtpasswdAccess(const HtpasswdSettings& settings) : settings_(settings) {
    // A key of its own, so that what is remembered is no list of hashed passwords.
    RAND_bytes(reinterpret_cast<unsigned char*>(salt_), sizeof salt_);
  }

  Result<void> load() {
    struct stat info;
    if (stat(settings_.path.c_str(), &info) != 0) return fail_errno(errno, "read {}", settings_.path);
    const Stamp stamp{info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_size, info.st_ino};
    if (stamp == stamp_) return {};
    passwords_ = parse_passwords(TRY(read_file(settings_.path, kFileLimit)), settings_.path);
    stamp_ = stamp;
    remembered_.clear();
    return {};
  }

  std::expected<Identity, Refusal> authorize(const http::Request& request,
                                             std::span<const Permission>) override {
    std::string_view header = request.headers.get_or("Authorization", "");
    if (!http::equal_ignoring_case(header.substr(0, 6), "basic "))
      return refusal("authentication is required");
    std::optional<std::string> decoded = from_base64(trim(header.substr(6)));
    if (!decoded || decoded->size() > kCredentialLimit || decoded->find('\0') != std::string::npos)
      return refusal("the credentials are malformed");
    auto [user, password] = split_once(*decoded, ':');
    if (!check(std::string(user), std::string(password), *decoded)) return refusal("wrong user or password");
    return Identity{std::string(user)};
  }

 private:
  struct Stamp {
    std::int64_t seconds = -1, nanoseconds = 0, size = 0;
    std::uint64_t inode = 0;
    bool operator==(const Stamp&) const = default;
  };
  using Clock = std::chrono::steady_clock;

  std::unexpected<Refusal> refusal(std::string message) const {
    return std::unexpected(Refusal{{Code::unauthorized, std::move(message)},
                                   fmt::format("Basic realm=\"{}\", charset=\"UTF-8\"", settings_.realm)});
  }

  bool check(const std::string& user, const std::string& password, std::string_view both) {
    const std::string key = sha256_of(std::string(salt_, sizeof salt_) + std::string(both)).hex();
    std::unique_lock lock(mutex_);
    if (Clock::now() - looked_ >= kLookInterval) {
      looked_ = Clock::now();
      if (Result<void> loaded = load(); !loaded)
        log_warning("registry", "{}; the passwords read before still hold", loaded.error().message);
    }
    if (auto known = remembered_.find(key); known != remembered_.end()) {
      if (Clock::now() - known->second < kRememberTime) return true;
      remembered_.erase(known);
    }
    auto found = passwords_.find(user);
    const bool exists = found != passwords_.end();
    const std::string hash = exists ? found->second : std::string(kNobodysHash);
    const Stamp stamp = stamp_;
    slot_free_.wait(lock, [&] { return hashing_ < kHashesAtOnce; });
    ++hashing_;
    lock.unlock();
    const bool right = matches(password, hash) && exists;
    lock.lock();
    --hashing_;
    slot_free_.notify_one();
    if (!right) return false;
    if (stamp == stamp_) {
      if (remembered_.size() >= kRemembered) remembered_.clear();
      remembered_[key] = Clock::now();
    }
    return true;
  }

  const HtpasswdSettings settings_;
  char salt_[32];
  std::mutex mutex_;
  std::condition_variable slot_free_;
  int hashing_ = 0;
  Clock::time_point looked_{};
  Stamp stamp_;
  Passwords passwords_;
  std::unordered_map<std::string, Clock::time_point> remembered_;  // by a keyed hash of the credentials
};

}  // namespace

Result<std::unique_ptr<Access>> make_htpasswd_access(const HtpasswdSettings& settings) {
  auto access = std::make_unique<HtpasswdAccess>(settings);
  TRY_AS("auth.htpasswd", access->load());
  return access;
}

}  // namespace berth::registryd
