// SPDX-License-Identifier: Apache-2.0
// A client's connection that speaks HTTP/2 (RFC 9113). nghttp2 has the frames, the header compression and the
// windows; what is asked of clients is here, and their requests in http2_stream.h.
//
// A request becomes the HTTP/1.1 head that says the same, and goes through the one parser that all requests
// go through: no field means something else for having come by another version.
#pragma once
#include <nghttp2/nghttp2.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "proxy/worker/client_session.h"
#include "proxy/worker/http2_stream.h"

namespace berth::proxy {

class Http2Session final : public ClientSession, public TakesTurns {
 public:
  Http2Session(Core& core, ClientHost& host, Fd socket, Ssl tls, std::string address, const Client& client);
  ~Http2Session() override;

  // What was read already, in front of start().
  void was_read(std::string_view bytes) { first_bytes_ = bytes; }
  void start() override;
  void drain() override;
  void on_events(std::uint32_t events) override;
  void on_deadline() override;
  void next_round() override;

  nghttp2_session* frames() const noexcept { return frames_.get(); }
  void step_later(Http2Stream& stream);
  void carried(std::size_t bytes) noexcept { carried_bytes_ += bytes; }
  void gave(std::size_t bytes) noexcept {  // of an answer
    carried_bytes_ += bytes;
    given_bytes_ += bytes;
  }
  void run();

 private:
  struct FreeFrames {
    void operator()(nghttp2_session* session) const noexcept { nghttp2_session_del(session); }
  };
  static const nghttp2_session_callbacks* callbacks();
  static int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* self);
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                       std::size_t name_size, const std::uint8_t* value, std::size_t value_size, std::uint8_t,
                       void* self);
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* self);
  static int on_data(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* data,
                     std::size_t size, void* self);
  static int on_stream_close(nghttp2_session*, std::int32_t id, std::uint32_t error, void* self);

  Http2Stream* stream(std::int32_t id);
  bool take_bytes(std::string_view bytes);
  void turn_away_if_a_nuisance();
  void ask_for_a_rate();
  bool check_that_it_moves();
  void read_frames();
  void step_streams();
  void write_frames();
  void bury_closed();
  void end();
  void take_no_more();

  enum class Drain : std::uint8_t { no, told, over } drain_ = Drain::no;
  std::unique_ptr<nghttp2_session, FreeFrames> frames_;
  std::unordered_map<std::int32_t, std::unique_ptr<Http2Stream>> streams_;
  std::vector<std::int32_t> to_step_, closed_streams_;
  std::string first_bytes_;
  std::uint64_t moved_bytes_ = 0, checked_bytes_ = 0;     // either way
  std::uint64_t received_bytes_ = 0, carried_bytes_ = 0;  // frames; fields and bodies in them, either way
  std::uint64_t given_bytes_ = 0, checked_given_bytes_ = 0;
  std::int64_t idle_checked_at_ = 0;
  std::size_t begun_ = 0, reset_ = 0;
  unsigned reads_ = 0;  // in this turn
  bool turned_away_ = false;
  bool running_ = false, again_ = false, ended_ = false, asked_ = false;
  bool held_back_ = false;  // there may be more to read
};

}  // namespace berth::proxy
