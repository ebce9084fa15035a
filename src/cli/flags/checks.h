// SPDX-License-Identifier: Apache-2.0
// Checks of option arguments, with the words of the refusals that Docker's command line has.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace berth::cli {

Result<std::int64_t> parse_go_integer(std::string_view text);  // decimal, 0x, 0o, 0b, with a sign
Result<void> check_uint16(std::string_view text);
Result<void> check_duration(std::string_view text);
Result<std::int64_t> parse_bytes(std::string_view text);               // "64m"
Result<std::int64_t> parse_bytes_or_unlimited(std::string_view text);  // the same, and "-1"
Result<std::int64_t> parse_cpus(std::string_view text);   // "1.5" is 1,500,000,000 billionths of a CPU
Result<std::string> check_filter(std::string_view text);  // "Name = value" becomes "name=value"

Result<std::string> check_environment(std::string_view text);  // NAME=value; NAME takes it from here, if set
Result<std::string> check_label(std::string_view text);
Result<std::string> check_attach(std::string_view text);      // stdin, stdout or stderr
Result<std::string> check_extra_host(std::string_view text);  // name:ip, name=ip, name:host-gateway
Result<std::string> check_ip_address(std::string_view text);  // for --dns
Result<std::string> check_dns_search(std::string_view text);
Result<std::string> check_sysctl(std::string_view text);
Result<std::string> check_annotation(std::string_view text);
Result<std::string> check_ulimit(std::string_view text);         // name=soft[:hard]
Result<std::string> check_device_rule(std::string_view text);    // "c 1:3 rwm"
Result<std::string> check_weight_device(std::string_view text);  // /dev/x:10..1000
Result<std::string> check_rate_bytes(std::string_view text);     // /dev/x:1mb
Result<std::string> check_rate_count(std::string_view text);     // /dev/x:1000
Result<std::string> check_link(std::string_view text);           // name[:alias]
Result<std::string> refuse_gpus(std::string_view text);

}  // namespace berth::cli
