// SPDX-License-Identifier: Apache-2.0
// What a --mount of RUN says: "type=cache,target=/root/.cache,sharing=locked".
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "dockerfile/expand.h"

namespace berth::dockerfile {

struct Mount {
  enum class Type { bind, cache, tmpfs, secret, ssh };
  enum class Sharing { shared, locked, exclusive };  // "private" is the word for the last
  Type type = Type::bind;
  std::string target;  // inside; relative ones are below the working directory, and "" is that itself. For
                       // a secret "" is /run/secrets/<id>, or none with `environment`
  std::string source;  // bind, cache: a path in `from`; "" is its root
  std::string from;    // bind, cache: stage, context or image; "": the build context, for a cache nothing
  std::string id;      // cache: "" is the absolute target; secret: filled in; ssh: "default"
  Sharing sharing = Sharing::shared;
  bool read_only = false;  // a bind's default is true
  bool required = false;   // secret, ssh
  std::optional<std::uint32_t> mode, uid, gid;
  std::optional<std::string> environment;  // secret: the variable it is given as
  std::int64_t size = 0;                   // tmpfs, bytes; 0: no limit
};

// `text` with its variables expanded. Unknown keys and values are named, with the near word.
Result<Mount> parse_mount(std::string_view text);
// `text` as it is written. Each value is expanded by itself: a comma in a variable divides nothing.
Result<Mount> parse_mount(std::string_view text, const Expansion& expansion);
// What is wrong with it whatever its variables are. `from` takes none.
Result<void> check_mount(std::string_view text);
// Its `from`, whatever its variables are.
Result<std::string> origin_of_mount(std::string_view text);

}  // namespace berth::dockerfile
