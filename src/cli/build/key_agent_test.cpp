// SPDX-License-Identifier: Apache-2.0
#include "cli/build/key_agent.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace berth::cli {
namespace {

std::string openssh_key(std::string_view cipher) {
  std::string bytes("openssh-key-v1\0", 15);
  bytes += std::string(3, '\0');
  bytes += static_cast<char>(cipher.size());
  bytes += cipher;
  bytes += std::string(40, 'x');
  std::string body = to_base64(bytes);
  body.insert(20, "\n");
  return "-----BEGIN OPENSSH PRIVATE KEY-----\r\n" + body + "\n-----END OPENSSH PRIVATE KEY-----\n";
}

TEST(KeyAgent, AnOpenSshKeySaysByItsCipherWhetherItHasAPassphrase) {
  EXPECT_FALSE(has_passphrase(openssh_key("none")));
  EXPECT_TRUE(has_passphrase(openssh_key("aes256-ctr")));
}

TEST(KeyAgent, AKeyInPemSaysItInWords) {
  EXPECT_TRUE(has_passphrase("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n"));
  EXPECT_TRUE(has_passphrase("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"));
  EXPECT_FALSE(has_passphrase("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n"));
}

TEST(KeyAgent, WhatIsNoKeyHasNoPassphrase) {
  for (const char* text : {"", "ssh-ed25519 AAAA", "-----BEGIN OPENSSH PRIVATE KEY-----",
                           "-----BEGIN OPENSSH PRIVATE KEY-----\n!!!!\n-----END",
                           "-----BEGIN OPENSSH PRIVATE "
                           "KEY-----\nb3BlbnNzaC1rZXktdjE=\n-----END"})
    EXPECT_FALSE(has_passphrase(text)) << text;
}

}  // namespace
}  // namespace berth::cli
