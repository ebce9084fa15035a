// SPDX-License-Identifier: Apache-2.0
// Requests to one registry: connections kept and shared, redirects, authentication, patience. What a request
// means is session.h's business.
//
// A Transport is used by several threads at once. Rules that it holds:
// - Authorization goes to the registry's own origin alone, also after redirects.
// - From https a redirect to http is followed only where the registry is insecure anyway.
// - A token server hears of the password only over https, or where the registry is insecure.
#pragma once
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/error.h"
#include "http/client.h"
#include "registry/authentication.h"
#include "registry/endpoints.h"
#include "registry/settings.h"

namespace berth::registry {

struct Request {
  std::string method;
  std::string target;  // "/v2/...", or an absolute URL that the registry gave (an upload's Location)
  http::Headers headers = {};
  http::RequestBody body =
      {};  // a source is sent once: an answer that asks for more authentication is returned
  bool follow_redirects = true;
  std::stop_token stop = {};  // hangs up at once, also while the answer's body is read
};

// An answer, and the connection that it comes through, which goes back when the answer is let go of.
class Answer {
 public:
  Answer(Answer&&) noexcept;
  Answer& operator=(Answer&&) noexcept;
  ~Answer();

  int status() const { return response_.status; }
  const http::Headers& headers() const { return response_.headers; }
  // 0 is the end.
  Result<std::size_t> read(std::span<char> buffer);
  Result<std::string> read_whole(std::size_t limit);
  const std::string& url() const { return url_; }        // that answered, after redirects
  const std::string& advice() const { return advice_; }  // what to do about this status; empty as a rule

 private:
  friend class Transport;
  struct Lent;
  Answer(std::unique_ptr<Lent> lent, http::Response response, std::string url);
  std::unique_ptr<Lent> lent_;
  http::Response response_;
  std::string url_;
  std::string advice_;
};

class Transport {
 public:
  // `actions` is what tokens are asked for: "pull" or "pull,push".
  Transport(Endpoint endpoint, const Settings& settings, Credentials credentials, std::string actions);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  const Endpoint& endpoint() const { return endpoint_; }

  // Finds out the scheme and what authentication is asked for (GET /v2/). Errors: unavailable when nobody
  // answers, unsupported when it is no registry.
  Result<void> connect(const std::stop_token& stop = {});
  // Connects, and asks with the credentials: whether they are right. A registry that asks for none takes any.
  Result<void> log_in(const std::stop_token& stop = {});

  // One attempt, with redirects followed and authentication done. Any other status is an Answer.
  Result<Answer> send(Request request);
  // Whether an absolute URL leads to the registry itself.
  bool is_own(std::string_view url) const;
  // Also may read `other` ("library/x"), for mounting blobs from there.
  void also_read(const std::string& other);

 private:
  friend class Answer;
  struct State;
  Result<Answer> send_to(const std::string& url, Request& request);
  Result<std::string> authorization(const std::stop_token& stop);
  Result<Token> fetch_token(const Challenge& challenge, const std::stop_token& stop);
  Result<void> learn(const http::Headers& headers);
  std::string how_to_log_in() const;

  Endpoint endpoint_;
  const Settings settings_;
  const Credentials credentials_;
  const std::string actions_;
  std::unique_ptr<State> state_;
};

}  // namespace berth::registry
