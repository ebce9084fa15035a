// SPDX-License-Identifier: Apache-2.0
// A connection to a backend that speaks HTTP/2 (RFC 9113), and its streams. nghttp2 has the frames, the
// header compression and the windows.
//
// Nothing is asked before the backend has sent its settings: until then a request can go elsewhere, whatever
// its method. Everything that reads, writes or tells happens in run(), which nobody calls from within an
// exchange: those only say that there is something to do (run_later), and that is done when the round's
// events are.
#pragma once
#include <nghttp2/nghttp2.h>

#include <unordered_set>

#include "proxy/worker/answer_text.h"
#include "proxy/worker/connection.h"
#include "proxy/worker/http2_upstreams.h"

namespace berth::proxy {

class Http2UpstreamStream final : public UpstreamLink, public Timed, public EventTarget {
 public:
  Http2UpstreamStream(Http2Upstreams& all, std::shared_ptr<Endpoint> endpoint, UpstreamUser& user)
      : all_(all), endpoint_(std::move(endpoint)), user_(user) {}

  Endpoint& endpoint() const noexcept override { return *endpoint_; }
  Progress connected() noexcept override;
  bool reused() const noexcept override { return reused_; }
  std::string& request_head() override { return head_; }
  void begin_body(const RequestHead& head) override;
  std::size_t write_body(std::string_view data) override;
  void end_body(const Fields& trailers) override;
  void flush() override;
  bool write_failed() const noexcept override { return closed_; }
  std::string_view input() const noexcept override { return std::string_view(input_).substr(used_); }
  void use(std::size_t count) noexcept override;
  Connection::Read read_more() override;
  bool refused() const noexcept override { return refused_; }
  bool give_back(std::string& body) override;
  bool still_serves() const noexcept override { return closed_ && connection_ && !lost_ && !malformed_; }
  bool is_clean() const noexcept override { return sent_all_ && text_.ended(); }
  Timed& timed() noexcept override { return *this; }
  void leave(Upstream self, bool reusable) override;

  void on_deadline() override { user_.on_upstream_deadline(); }
  void on_events(std::uint32_t) override {}  // it is a target only to be buried as one

 private:
  friend class Http2Upstream;
  ssize_t give(std::uint8_t* to, std::size_t size, std::uint32_t& flags);
  void close(bool refused);

  Http2Upstreams& all_;
  const std::shared_ptr<Endpoint> endpoint_;
  UpstreamUser& user_;
  Http2Upstream* connection_ = nullptr;  // null: gone, and this lives on with what has come
  std::int32_t id_ = 0;                  // 0: not begun

  // Of the request. Body that was sent is kept while all of it is little: it may have to be sent again
  // elsewhere.
  std::string head_, body_;
  std::vector<std::pair<std::string, std::string>> trailers_;
  std::size_t given_ = 0;
  bool body_ended_ = false, sent_all_ = false, wants_room_ = false, forgot_ = false;

  AnswerText text_;
  std::string input_;
  std::size_t used_ = 0, input_body_ = 0;  // of the body, in input_: not yet said to be consumed

  bool reused_ = false, to_tell_ = false;
  bool sent_ = false;       // its head, to the socket
  bool closed_ = false;     // nothing comes any more, nor goes
  bool refused_ = false;    // and the backend did not look at it
  bool malformed_ = false;  // an answer that is none
  bool lost_ = false;       // with its connection
};

class Http2Upstream final : public Connection {
 public:
  Http2Upstream(Http2Upstreams& all, Fd socket, Ssl tls, std::shared_ptr<Endpoint> endpoint,
                std::uint32_t moves);
  ~Http2Upstream() override;

  const Endpoint& endpoint() const noexcept { return *endpoint_; }
  void start();
  bool has_room() const noexcept;
  bool still_there();  // of one with room: false when it has just been found to have none
  void take(Http2UpstreamStream& stream);
  void retire();  // takes no more requests, and ends when it has none
  void run();

  void on_events(std::uint32_t events) override;
  void on_deadline() override;

 private:
  friend class Http2UpstreamStream;
  struct FreeFrames {
    void operator()(nghttp2_session* session) const noexcept { nghttp2_session_del(session); }
  };
  static const nghttp2_session_callbacks* callbacks();
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                       std::size_t name_size, const std::uint8_t* value, std::size_t value_size, std::uint8_t,
                       void* self);
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* self);
  static int on_sent(nghttp2_session*, const nghttp2_frame* frame, void* self);
  static int on_data(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* data,
                     std::size_t size, void* self);
  static int on_stream_close(nghttp2_session*, std::int32_t id, std::uint32_t error, void* self);
  static ssize_t read_body(nghttp2_session*, std::int32_t id, std::uint8_t* to, std::size_t size,
                           std::uint32_t* flags, nghttp2_data_source*, void* self);

  Http2UpstreamStream* stream(std::int32_t id) const;
  void count(const nghttp2_frame& frame);
  bool make_ready();
  bool shake_hands();
  void start_frames();
  void settings_came();
  bool move_elsewhere(Http2UpstreamStream& stream);
  bool read_frames();
  void tell_users();
  void write_frames();
  void tell(Http2UpstreamStream& stream);
  void begin(Http2UpstreamStream& stream, bool with_body, const RequestHead& head);
  void stream_left(Http2UpstreamStream& stream);
  void poke();
  void end();

  Http2Upstreams& all_;
  const std::shared_ptr<Endpoint> endpoint_;
  const std::uint32_t moves_;  // of the endpoint, when it was connected to
  std::unique_ptr<nghttp2_session, FreeFrames> frames_;
  std::unordered_set<Http2UpstreamStream*> streams_;
  std::vector<Http2UpstreamStream*> to_tell_;
  std::size_t places_ = 0;  // that are taken: by streams_, and by those that have left and are not closed
  std::int64_t idle_since_ = 0;
  unsigned for_nothing_ = 0;  // frames since one that brought something
  bool connected_ = false, open_ = false, retired_ = false, useless_ = false, ended_ = false;
  bool heard_ = false, asked_ = false;  // since the last deadline
  bool running_ = false, again_ = false;
};

}  // namespace berth::proxy
