// Writes lines to a pipe whose reader is slow, away, or gone.
#include "base/line_writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <thread>

namespace uhd {
namespace {

using testing::HasSubstr;

constexpr Duration kLong = std::chrono::seconds(60);

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    EXPECT_EQ(pipe(ends.data()), 0);
    reads = ends[0];
    writes = ends[1];
  }
  // Returns everything that comes until the text has come.
  std::string read_until(const std::string& text) const {
    std::string all;
    std::array<char, 4096> part{};
    while (all.find(text) == std::string::npos) {
      const ssize_t got = read(reads, part.data(), part.size());
      if (got <= 0) break;
      all.append(part.data(), static_cast<size_t>(got));
    }
    return all;
  }
  int reads = -1;
  int writes = -1;
};

// A writer lives as long as the process.
LineWriter& writer_for(int file) { return *new LineWriter(file); }

TEST(LineWriter, LinesComeWholeAndInOrder) {
  const Pipe pipe;
  LineWriter& writer = writer_for(pipe.writes);
  writer.write("one");
  writer.write("two");
  writer.flush(kLong);
  EXPECT_EQ(pipe.read_until("two\n"), "one\ntwo\n");
}

TEST(LineWriter, ALongLineComesWhole) {
  const Pipe pipe;
  LineWriter& writer = writer_for(pipe.writes);
  const std::string line(300'000, 'x');
  writer.write(line);
  EXPECT_EQ(pipe.read_until("\n"), line + "\n");
}

TEST(LineWriter, AStatusIsWrittenOverAndLinesComeAboveIt) {
  const Pipe pipe;
  LineWriter& writer = writer_for(pipe.writes);
  writer.show_status("1 %");
  writer.flush(kLong);
  writer.show_status("2 %");
  writer.flush(kLong);
  writer.write("a line");
  writer.flush(kLong);
  writer.show_status("");
  writer.flush(kLong);
  writer.write("the end");
  EXPECT_EQ(pipe.read_until("end\n"), "1 %\r\x1b[K2 %\r\x1b[Ka line\n2 %\r\x1b[Kthe end\n");
}

TEST(LineWriter, OfManyTextsOfAStatusTheLastIsShown) {
  const Pipe pipe;
  LineWriter& writer = writer_for(pipe.writes);
  for (int i = 0; i <= 1000; ++i) writer.show_status(std::to_string(i));
  EXPECT_THAT(pipe.read_until("1000"), testing::EndsWith("1000"));
}

TEST(LineWriter, WithoutAReaderNobodyWaitsAndWhatIsLeftOutIsCounted) {
  const Pipe pipe;
  LineWriter& writer = writer_for(pipe.writes);
  const std::string line(1000, 'x');
  for (int i = 0; i < 5000; ++i) writer.write(line);  // far more than pipe and queue hold
  writer.flush(std::chrono::milliseconds(10));        // gives up
  EXPECT_THAT(pipe.read_until("left out here"), HasSubstr("lines were left out here"));
  writer.write("later");
  EXPECT_THAT(pipe.read_until("later\n"), HasSubstr("later\n"));
}

TEST(LineWriter, AReaderThatIsGoneTakesEverything) {
  const Pipe pipe;
  LineWriter& writer = writer_for(pipe.writes);
  close(pipe.reads);
  for (int i = 0; i < 5000; ++i) writer.write(std::string(1000, 'x'));
  writer.flush(kLong);
}

}  // namespace
}  // namespace uhd
