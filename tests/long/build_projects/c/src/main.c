// SPDX-License-Identifier: Apache-2.0
// What the end-to-end test of builds compiles: it adds up what a few hundred files say, and packs text with a library.
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "parts.h"

static int count(void) {
  unsigned (*const parts[])(unsigned) = {PARTS};
  const unsigned number = sizeof parts / sizeof parts[0];
  unsigned sum = 1;
  for (unsigned one = 0; one < number; ++one) sum = parts[one](sum);
  printf("parts %u sum %u\n", number, sum);
  return 0;
}

static int convert(int (*how)(unsigned char*, uLongf*, const unsigned char*, uLong)) {
  static unsigned char in[1 << 16], out[1 << 17];
  uLongf size = sizeof out;
  const size_t got = fread(in, 1, sizeof in, stdin);
  if (how(out, &size, in, got) != Z_OK) return 1;
  return fwrite(out, 1, size, stdout) == size ? 0 : 1;
}

int main(int count_of_words, char** words) {
  const char* what = count_of_words > 1 ? words[1] : "count";
  if (strcmp(what, "pack") == 0) return convert(compress);
  if (strcmp(what, "unpack") == 0) return convert(uncompress);
  if (strcmp(what, "list") == 0) return puts(words[0]) < 0;
  return count();
}
