// SPDX-License-Identifier: Apache-2.0
#include "engine/statistics.h"

#include <gtest/gtest.h>

namespace berth::engine {
namespace {

using Row = std::vector<std::string>;

TEST(InterfaceCounters, AreReadFromTheKernelsTable) {
  auto interfaces = parse_interface_counters(
      "Inter-|   Receive                                                |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo "
      "colls carrier "
      "compressed\n"
      "    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     "
      "0       0   "
      "       0\n"
      "  eth0: 18446744073709551615      2    3    4    5     6          7         8      11      12   13   "
      "14   15     "
      "16       17         18\n"
      "eth1:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
      "short: 1 2 3\n");
  ASSERT_EQ(interfaces.size(), 2u);
  const InterfaceCounters& first = interfaces.at("eth0");
  EXPECT_EQ(first.received_bytes, UINT64_MAX);
  EXPECT_EQ(first.received_packets, 2u);
  EXPECT_EQ(first.received_errors, 3u);
  EXPECT_EQ(first.received_dropped, 4u);
  EXPECT_EQ(first.sent_bytes, 11u);
  EXPECT_EQ(first.sent_packets, 12u);
  EXPECT_EQ(first.sent_errors, 13u);
  EXPECT_EQ(first.sent_dropped, 14u);
  EXPECT_EQ(interfaces.at("eth1").sent_bytes, 9u) << "a large number touches the colon";
  EXPECT_TRUE(parse_interface_counters("").empty());
}

TEST(ProcessTable, KeepsTheContainersProcessesAndTheirCommandsBlanks) {
  ProcessTable table =
      parse_process_table(
          "UID          PID    PPID  C STIME TTY          TIME CMD\n"
          "root           1       0  0 20:47 ?        00:00:01 /sbin/init splash\n"
          "root          42       1  0 20:47 ?        00:00:00 sh -c sleep  60; echo \"a b\"\n"
          "root         420       1  0 20:47 ?        00:00:00 other\n"
          "daemon        43      42  0 20:47 ?        00:00:00 [defunct]\n",
          {42, 43})
          .value();
  EXPECT_EQ(table.titles, (Row{"UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"}));
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_EQ(table.rows[0],
            (Row{"root", "42", "1", "0", "20:47", "?", "00:00:00", "sh -c sleep 60; echo \"a b\""}));
  EXPECT_EQ(table.rows[1].back(), "[defunct]");
}

TEST(ProcessTable, ThePidMayStandAnywhereButMustBeThere) {
  ProcessTable table = parse_process_table("COMMAND PID\nsh 7\nbash 8\n", {8}).value();
  ASSERT_EQ(table.rows.size(), 1u);
  EXPECT_EQ(table.rows[0], (Row{"bash", "8"}));
  Result<ProcessTable> without = parse_process_table("USER COMMAND\nroot sh\n", {1});
  ASSERT_FALSE(without);
  EXPECT_EQ(without.error().message, "Couldn't find PID field in ps output");
  EXPECT_TRUE(parse_process_table("", {1}).value().rows.empty());
}

}  // namespace
}  // namespace berth::engine
