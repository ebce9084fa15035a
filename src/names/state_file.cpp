// SPDX-License-Identifier: Apache-2.0
#include "names/state_file.h"

#include <fcntl.h>

#include "base/file.h"
#include "names/fields.h"
#include "names/protocol.h"

namespace berth::names {
namespace {

constexpr std::string_view kTitle = "berth-resolver state 1\n";
constexpr std::size_t kLargestState = 1u << 30;

enum StateTag : std::uint8_t { kNetwork = 1, kView = 2, kUpstreams = 3, kChecksum = 4 };

// FNV-1a: against a file that was cut or written over, not against an attacker, who would have to be root.
std::uint64_t checksum(std::string_view bytes) {
  std::uint64_t sum = 0xcbf29ce484222325;
  for (unsigned char byte : bytes) sum = (sum ^ byte) * 0x100000001b3;
  return sum;
}

}  // namespace

std::string encode_state(const Directory& directory, const std::vector<Server>& upstreams) {
  FieldWriter out;
  for (const auto& [id, zone] : directory.networks())
    out.text(kNetwork, encode(Network{id, zone.name(), zone.endpoints()}));
  for (const auto& [sandbox, view] : directory.views()) out.text(kView, encode(SandboxView{sandbox, view}));
  out.text(kUpstreams, encode(upstreams));
  const std::uint64_t sum = checksum(out.bytes());
  out.number(kChecksum, sum);
  return std::string(kTitle) + out.bytes();
}

Result<State> decode_state(std::string_view bytes) {
  const auto damaged = [] { return fail(ErrorKind::corrupt, "the resolver's state is damaged"); };
  if (!bytes.starts_with(kTitle)) return damaged();
  bytes.remove_prefix(kTitle.size());
  State state;
  FieldReader in(bytes);
  bool complete = false;
  while (std::optional<Field> field = in.next()) {
    if (complete) return damaged();
    if (field->tag == kNetwork) {
      Network network = TRY(decode_network(field->value));
      TRY(state.directory.set_network(std::move(network)));
    } else if (field->tag == kView) {
      SandboxView view = TRY(decode_sandbox_view(field->value));
      TRY(state.directory.set_view(view.sandbox, std::move(view.view)));
    } else if (field->tag == kUpstreams) {
      state.upstreams = TRY(decode_servers(field->value));
    } else if (field->tag == kChecksum) {
      const auto before = static_cast<std::size_t>(field->value.data() - bytes.data()) - 5;
      if (field->number() != checksum(bytes.substr(0, before))) return damaged();
      complete = true;
    }
  }
  if (!complete || in.malformed()) return damaged();
  return state;
}

Result<void> write_state(const std::string& path, const Directory& directory,
                         const std::vector<Server>& upstreams) {
  return write_file_atomically(AT_FDCWD, path, encode_state(directory, upstreams), 0600, Durability::visible);
}

Result<State> read_state(const std::string& path) {
  Result<std::string> bytes = read_file(path, kLargestState);
  if (!bytes && bytes.error().kind == ErrorKind::not_found) return State();
  if (!bytes) return std::unexpected(std::move(bytes).error());
  return decode_state(*bytes);
}

}  // namespace berth::names
