// The files of a batch: what is a request, what is an answer, and what a run that was cut off leaves.
#include "app/batch_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <csignal>
#include <fstream>

#include "app/batch_progress.h"
#include "base/error.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string line_of(const std::string& id, const std::string& body = R"({"messages":[]})") {
  return R"({"custom_id":")" + id + R"(","method":"POST","url":"/v1/chat/completions","body":)" + body + "}";
}

std::string wrong_with(const std::string& line) {
  try {
    parse_batch_line(line);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// Bounds what this process may have, for as long as it lives.
class Limit {
 public:
  Limit(int resource, rlim_t most) : resource_(resource) {
    getrlimit(resource, &before_);
    const rlimit limit{most, before_.rlim_max};
    setrlimit(resource, &limit);
  }
  ~Limit() { setrlimit(resource_, &before_); }
  Limit(const Limit&) = delete;
  Limit& operator=(const Limit&) = delete;

 private:
  int resource_;
  rlimit before_{};
};

class BatchFile : public testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& content) {
    const std::string path = (folder_.path() / name).string();
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  static std::string content(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  TemporaryDirectory folder_;
};

TEST_F(BatchFile, ALineIsARequest) {
  const BatchRequest request = parse_batch_line(line_of("a", R"({"max_tokens": 5})"));
  EXPECT_EQ(request.custom_id, "a");
  EXPECT_EQ(request.url, "/v1/chat/completions");
  EXPECT_EQ(request.body, R"({"max_tokens":5})");
}

TEST_F(BatchFile, AnythingElseIsRefusedByName) {
  EXPECT_THAT(wrong_with("{"), HasSubstr("JSON"));
  EXPECT_THAT(wrong_with("[]"), HasSubstr("object"));
  EXPECT_THAT(wrong_with("{}"), HasSubstr("custom_id"));
  EXPECT_THAT(wrong_with(line_of("")), HasSubstr("custom_id"));
  EXPECT_THAT(wrong_with(line_of(std::string(513, 'x'))), HasSubstr("custom_id"));
  EXPECT_THAT(wrong_with(line_of("a", "[]")), HasSubstr("body"));
  EXPECT_THAT(wrong_with(line_of("a", R"({"stream":true})")), HasSubstr("body.stream"));
  EXPECT_THAT(wrong_with(R"({"custom_id":"a","method":"GET","url":"/v1/completions","body":{}})"),
              HasSubstr("method"));
  EXPECT_THAT(wrong_with(R"({"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{}})"),
              HasSubstr("url"));
}

TEST_F(BatchFile, WhatMayNeverEndIsNoFile) {
  EXPECT_THROW(BatchOutput{"/dev/full"}, Error);
  EXPECT_THROW(BatchInput{"/dev/zero"}, Error);
}

TEST_F(BatchFile, RequestsAreReadAgainInAnyOrder) {
  const std::string path =
      file("in", line_of("a") + "\n\n" + line_of("b", R"({"n":2})") + "\r\n" + line_of("c"));
  BatchInput input(path);
  EXPECT_EQ(input.size(), 3u);
  EXPECT_EQ(input.leave_out({"a", "z"}), 1u);
  EXPECT_EQ(input.read(1).custom_id, "c");
  EXPECT_EQ(input.read(0).body, R"({"n":2})");
}

TEST_F(BatchFile, AByteOrderMarkIsNoPartOfTheFirstLine) {
  BatchInput input(file("in", "\xef\xbb\xbf" + line_of("a") + "\n" + line_of("b") + "\n"));
  EXPECT_EQ(input.read(1).custom_id, "b");
  EXPECT_EQ(input.read(0).custom_id, "a");
}

TEST_F(BatchFile, AWrongLineIsNamed) {
  for (const std::string& second : {line_of("a"), std::string("no")}) {
    const std::string path = file("in", line_of("a") + "\n" + second + "\n");
    try {
      BatchInput input(path);
      ADD_FAILURE() << second;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("line 2"));
    }
  }
}

TEST_F(BatchFile, AnAnswerIsOneLine) {
  const auto answer = [](const BatchAnswer& given) {
    const std::string line = batch_answer_line("a", given);
    EXPECT_EQ(line.find('\n'), line.size() - 1);
    return boost::json::parse(line).at("response");
  };
  EXPECT_EQ(answer({200, "r", "{\n \"x\": 1}"}).at("body").at("x"), 1);
  EXPECT_EQ(answer({502, "", "<html>\n"}).at("body"), "<html>\n");
}

// A run may end within any byte of a line.
TEST_F(BatchFile, WhatWasCutOffGoesAndTheRestStays) {
  const std::string first = batch_answer_line("a", {200, "r", "{}"}), second = batch_answer_line("b", {});
  for (size_t left = 0; left < second.size(); ++left) {
    const std::string path = file("out", first + second.substr(0, left));
    BatchOutput output(path);
    EXPECT_THAT(output.answered(), ElementsAre("a"));
    EXPECT_EQ(content(path), first);
    output.append(second);
    EXPECT_EQ(content(path), first + second);
    EXPECT_THROW(BatchOutput{path}, Error) << "another run writes to it";
  }
}

#if !defined(UHD_SANITIZED)  // UBSan opens a pipe to learn whether it may look at an object
TEST_F(BatchFile, AFileThatCannotBeReadStaysAsItIs) {
  const std::string answer = batch_answer_line("a", {200, "r", "{}"});
  const std::string path = file("out", answer);
  const int next = dup(STDERR_FILENO);
  close(next);
  {
    const Limit limit(RLIMIT_NOFILE, static_cast<rlim_t>(next) + 1);  // it opens, but not a second time
    EXPECT_THROW(BatchOutput{path}, Error);
  }
  EXPECT_EQ(content(path), answer);
}
#endif

TEST_F(BatchFile, ALineThatDoesNotFitLeavesNothingAndNoneFollows) {
  const std::string first = batch_answer_line("a", {200, "r", "{}"}), second = batch_answer_line("b", {});
  const std::string path = file("out", first);
  BatchOutput output(path);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  {
    const Limit limit(RLIMIT_FSIZE, first.size() + 10);
    EXPECT_THROW(output.append(second), Error);
  }
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(content(path), first);
  EXPECT_THROW(output.append(second), Error);
  EXPECT_EQ(content(path), first);
}

TEST_F(BatchFile, AForeignFileStaysAsItIs) {
  const std::string answer = batch_answer_line("a", {200, "r", "{}"});
  for (const std::string& foreign :
       {std::string("my notes"), std::string("my notes\n"), answer + "my notes\n", answer + line_of("b"),
        std::string(R"({"id":"batch_req_x"})") + "\n"}) {
    const std::string path = file("out", foreign);
    EXPECT_THROW(BatchOutput{path}, Error) << foreign;
    EXPECT_EQ(content(path), foreign);
  }
}

TEST_F(BatchFile, ProgressIsToldNowAndThen) {
  BatchProgress plain(4, false, 100);
  EXPECT_EQ(plain.ended(true, 101), std::nullopt);
  EXPECT_EQ(plain.ended(false, 120), "2 of 4 requests, 1 of them failed, 20 s left");
  EXPECT_EQ(plain.end(130), "2 of 4 requests, 1 of them failed, 30 s left");
  BatchProgress terminal(3, true, 0);
  EXPECT_EQ(terminal.ended(true, 3600), "1 of 3 requests, 2 h left");
  EXPECT_EQ(terminal.ended(true, 3600.1), std::nullopt) << "not for each";
  terminal.ended(true, 3601);
  EXPECT_EQ(terminal.end(3601), "3 of 3 requests, in 61 min");
  EXPECT_EQ(BatchProgress(3, false, 0).end(5), "0 of 3 requests");
}

}  // namespace
}  // namespace uhd
