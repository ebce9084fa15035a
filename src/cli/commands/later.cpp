// SPDX-License-Identifier: Apache-2.0
// Names that Docker's command line has and this version does not do yet. They say so, instead of being
// unknown.
#include "cli/command.h"

namespace berth::cli {
namespace {

Result<int> not_yet(Invocation& invocation) {
  return fail(ErrorKind::unsupported, "berth: '{}' is not available yet in this version", invocation.path);
}

// Options are not looked at: everything behind the name is a word.
constexpr Command later(std::string_view names, std::string_view summary) {
  return {names, "[OPTIONS] ...", summary, {}, 0, kAnyNumber, not_yet, false, false};
}

constexpr Command kCommands[] = {
    later("image build|build", "Build an image from a Dockerfile (not yet)"),
};

}  // namespace

std::span<const Command> later_commands() { return kCommands; }

}  // namespace berth::cli
