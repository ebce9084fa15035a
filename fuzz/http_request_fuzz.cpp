// SPDX-License-Identifier: Apache-2.0
// A server's connection fed with any bytes: it must answer the same whether they come at once or one by one.
// Whatever depends on where a read happens to end is how requests get smuggled.
#include <cstdlib>
#include <memory>

#include "http/connection.h"

namespace {

using namespace berth;
using namespace berth::http;

// Gives `input` in parts of at most `part` bytes, and collects what is written.
class ScriptedStream final : public Stream {
 public:
  ScriptedStream(std::string_view input, std::size_t part, std::string& output)
      : input_(input), part_(part), output_(output) {}
  Result<std::size_t> read(std::span<char> buffer, const Deadline&) override {
    std::size_t count = std::min({buffer.size(), part_, input_.size()});
    std::copy_n(input_.begin(), count, buffer.begin());
    input_.remove_prefix(count);
    return count;
  }
  Result<void> write(std::string_view first, std::string_view second, std::string_view third) override {
    output_.append(first).append(second).append(third);
    return {};
  }
  void shutdown_write() noexcept override {}
  int descriptor() const noexcept override { return -1; }

 private:
  std::string_view input_;
  const std::size_t part_;
  std::string& output_;
};

class QuietHost final : public ConnectionHost {
 public:
  bool enter_idle() override { return true; }
  void leave_idle() override {}
  bool stopping() override { return false; }
  void forget_descriptor() override {}
  Result<void> start_relay(std::unique_ptr<TlsStream>, Fd) override {
    return fail(ErrorKind::unsupported, "no TLS here");
  }
};

// Shows what was understood of a request; some bodies are left unread, so that they must be skipped.
void describe(Exchange& exchange) {
  const Request& request = exchange.request();
  std::string text = request.method + " " + request.path;
  for (const auto& [name, value] : request.query) text.append("|" + name + "=" + value);
  for (const auto& [name, value] : request.headers) text.append("\n" + name + ":" + value);
  if (!request.path.ends_with("skip")) {
    Result<std::string> body = exchange.read_body_whole(1 << 20);
    text += body ? "\n\n" + *body : "\nbroken";
  }
  (void)exchange.respond(200, {{"Date", "-"}}, text);
}

std::string converse(std::string_view input, std::size_t part) {
  std::string output;
  const Limits limits{.head_bytes = 2000, .fields = 10, .drained_bytes = 500};
  const Handler handler = describe;
  QuietHost host;
  std::unique_ptr<Stream> stream = std::make_unique<ScriptedStream>(input, part, output);
  Connection(std::move(stream), Peer{}, limits, handler, host).serve();
  // Refusals carry the clock.
  for (std::size_t at; (at = output.find("Date: ")) != std::string::npos;)
    output.erase(at, output.find("\r\n", at) - at + 2);
  return output;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (converse(input, size + 1) != converse(input, 1)) std::abort();
  return 0;
}
