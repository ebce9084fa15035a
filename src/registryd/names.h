// SPDX-License-Identifier: Apache-2.0
// Names in URLs: repositories (distribution-spec, "Pulling manifests": <name>) and tags.
#pragma once
#include <string_view>

namespace berth::registryd {

inline constexpr std::size_t kNameLimit = 255;  // bytes, as the specification allows clients to assume

// [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)* in components separated by '/'. Such a name holds no "..", no blank and
// no character that HTML, a URL or a line of the journal would have to escape.
bool valid_repository(std::string_view name) noexcept;

// A media type without parameters, as manifests and descriptors carry it: RFC 6838's type/subtype.
bool valid_media_type(std::string_view type) noexcept;

}  // namespace berth::registryd
