// Tests the load generator without a server: traces, pictures and what a report makes of results.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "app/load_report.h"
#include "base/error.h"

namespace uhd {
namespace {

TEST(LoadTrace, IsTheSameForOneSeedAndComesBackFromItsText) {
  const LoadMix mix{.sessions = 6,
                    .rate = 4,
                    .turns = 2,
                    .think_s = 0.5,
                    .pictures = "mixed",
                    .pictures_a_turn = 2,
                    .seed = 9};
  const auto trace = draw_trace(mix);
  ASSERT_EQ(trace.size(), 6u);
  EXPECT_EQ(trace_text(trace), trace_text(draw_trace(mix)));
  EXPECT_EQ(trace_text(parse_trace(trace_text(trace), "trace")), trace_text(trace));
  LoadMix other = mix;
  other.seed = 10;
  EXPECT_NE(trace_text(draw_trace(other)), trace_text(trace));
  for (const LoadSession& session : trace) {
    ASSERT_EQ(session.turns.size(), 2u);
    EXPECT_EQ(session.turns[0].text.size(), 100u);
    EXPECT_EQ(session.turns[0].pictures.size(), 2u);
    EXPECT_TRUE(session.turns[1].pictures.empty()) << "pictures come with the first turn";
  }
}

TEST(LoadTrace, ArrivesAtItsRateAlsoInBursts) {
  for (const int burst : {1, 5}) {
    const auto trace = draw_trace({.sessions = 20000, .rate = 50, .burst = burst, .text = 1});
    const double rate = 20000 / trace.back().at_s;
    EXPECT_NEAR(rate, 50, burst == 1 ? 2 : 4);
    int together = 0;
    for (size_t i = 1; i < trace.size(); ++i) together += trace[i].at_s == trace[i - 1].at_s ? 1 : 0;
    EXPECT_NEAR(together, 20000 * (burst - 1) / burst, 5);
  }
  // Of a Poisson process, the deviation of the gaps is their mean.
  const auto trace = draw_trace({.sessions = 20000, .rate = 50, .text = 1});
  double squares = 0;
  for (size_t i = 1; i < trace.size(); ++i) squares += std::pow(trace[i].at_s - trace[i - 1].at_s - 0.02, 2);
  EXPECT_NEAR(std::sqrt(squares / 20000), 0.02, 0.001);
}

TEST(LoadTrace, RefusesLinesThatAreNoSessions) {
  const std::string turn = R"({"text":"a","pictures":[],"max_tokens":4})";
  const auto line = [](const std::string& turns) {
    return R"({"at_us":0,"think_us":0,"turns":[)" + turns + "]}";
  };
  EXPECT_EQ(parse_trace(line(turn), "t").size(), 1u);
  const std::string beside = R"({"at_us":0,"think_us":0,"beside":true,"turns":[)" + turn + "]}";
  EXPECT_TRUE(parse_trace(beside + '\n' + line(turn), "t")[0].beside);
  EXPECT_THROW(parse_trace(beside, "t"), Error) << "there is nothing that it is beside";
  const std::string file = R"({"text":"a","pictures":[{"file":"page.png"}],"max_tokens":4})";
  const std::string both = R"({"at_us":0,"think_us":0,"beside":true,"turns":[)" + file + "]}\n" + line(turn);
  const std::vector<LoadSession> again = parse_trace(trace_text(parse_trace(both, "t")), "t");
  EXPECT_EQ(again[0].turns[0].pictures[0].file, "page.png");
  EXPECT_TRUE(again[0].beside && !again[1].beside);
  for (
      const std::string& bad :
      {std::string(), std::string("\n"), std::string("[]"), std::string("{"), line(""), line("4"),
       std::string(R"({"at_us":-1,"think_us":0,"turns":[]})"),
       R"({"at_us":0,"think_us":0,"beside":1,"turns":[)" + turn + "]}",
       line(R"({"text":"a","pictures":[{"file":4}],"max_tokens":4})"),
       line(R"({"text":4,"pictures":[],"max_tokens":4})"),
       line(R"({"text":"a","pictures":[],"max_tokens":1e9})"),
       line(
           R"({"text":"a","pictures":[{"kind":"photo","width":9000,"height":1,"seed":1}],"max_tokens":1})")}) {
    EXPECT_THROW(parse_trace(bad, "t"), Error) << bad;
  }
}

TEST(LoadPictures, AreDrawnAlikeAndOfEveryKind) {
  std::mt19937_64 random(3);
  for (const char* kind : kPictureKinds) {
    DrawnPicture picture = choose_picture(kind, random);
    EXPECT_EQ(picture.kind, kind);
    picture.width = 90;
    picture.height = 120;
    const Image image = draw_picture(picture);
    EXPECT_EQ(image.pixels.size(), size_t{3} * 90 * 120);
    EXPECT_EQ(image.pixels, draw_picture(picture).pixels);
    picture.seed += 1;
    EXPECT_NE(image.pixels, draw_picture(picture).pixels) << kind;
  }
  EXPECT_THROW(choose_picture("cat", random), Error);
  EXPECT_THROW(draw_picture({"photo", 0, 5, 1}), Error);
  EXPECT_THROW(draw_picture({"photo", 5, kLargestDrawnSide + 1, 1}), Error);
  EXPECT_THROW(draw_picture({"cat", 5, 5, 1}), Error);
  for (const char* kind : kPictureKinds) EXPECT_EQ(draw_picture({kind, 1, 1, 1}).pixels.size(), 3u);
}

TEST(LoadReport, PercentilesLieOnLinesBetweenValues) {
  const LoadSpread spread = spread_of({4, 1, 3, 2, 5});
  EXPECT_DOUBLE_EQ(spread.mean, 3);
  EXPECT_DOUBLE_EQ(spread.p50, 3);
  EXPECT_DOUBLE_EQ(spread.p90, 4.6);
  EXPECT_DOUBLE_EQ(spread.p99, 4.96);
  EXPECT_DOUBLE_EQ(spread.most, 5);
  EXPECT_DOUBLE_EQ(spread_of({7}).p99, 7);
  EXPECT_DOUBLE_EQ(spread_of({}).most, 0);
}

TEST(LoadReport, CountsGoodAnswersAndErrorsByKind) {
  LoadRun run{.seconds = 10};
  run.turns.push_back({.sent_s = 1, .first_s = 1.5, .done_s = 2.5, .prompt_tokens = 7, .answer_tokens = 11});
  run.turns.push_back({.sent_s = 1, .first_s = 4, .done_s = 5, .answer_tokens = 11});
  run.turns.push_back({.sent_s = 1, .first_s = 1.2, .done_s = 5.2, .answer_tokens = 11});
  run.turns.push_back({.sent_s = 2, .done_s = 3, .error = "http 429", .detail = "say \"please\"\nagain"});
  const LoadObjective objective{1.0, 0.2};
  const LoadSummary summary = summary_of(run, objective);
  EXPECT_EQ(summary.answered, 3);
  EXPECT_EQ(summary.good, 1) << "one was late to begin, and one slow to go on";
  EXPECT_EQ(summary.errors.at("http 429"), 1);
  EXPECT_EQ(summary.answer_tokens, 33);
  EXPECT_DOUBLE_EQ(summary.token_s.most, 0.4);
  const double never = std::numeric_limits<double>::infinity();
  EXPECT_EQ(summary_of(run, {never, never}).good, 3);
  EXPECT_NE(load_csv(run).find("\"say \"\"please\"\" again\""), std::string::npos) << load_csv(run);
  EXPECT_NE(load_json(summary, {never, 0.2}).find("\"objective_first_token_ms\":null"), std::string::npos);
  EXPECT_NE(load_picture(run).find("</svg>"), std::string::npos);
  EXPECT_NE(load_picture({}).find("</svg>"), std::string::npos) << "of a run without an answer";
}

TEST(LoadReport, TellsOfSessionsBesideTheOthersBeforeAndAmongThem) {
  LoadRun run{.seconds = 50};
  run.turns.push_back({.sent_s = 10, .first_s = 12, .done_s = 12, .answer_tokens = 1});
  run.turns.push_back({.sent_s = 11, .first_s = 20, .done_s = 20, .answer_tokens = 1});
  run.turns.push_back(
      {.beside = true, .sent_s = 1, .first_s = 2, .done_s = 21, .gaps_s = {1, 2, 8, 8}, .answer_tokens = 5});
  run.turns.push_back({.beside = true, .sent_s = 15, .first_s = 18, .done_s = 18, .answer_tokens = 1});
  run.turns.push_back({.beside = true, .sent_s = 16, .done_s = 17, .error = "http 429"});
  run.turns.push_back({.beside = true, .sent_s = 30, .first_s = 48, .done_s = 48});
  const double never = std::numeric_limits<double>::infinity();
  const LoadSummary summary = summary_of(run, {never, never});
  EXPECT_EQ(summary.turns, 2) << "those beside are not among the others";
  EXPECT_DOUBLE_EQ(summary.seconds, 10) << "from the first sending to the last end";
  EXPECT_DOUBLE_EQ(summary.first_token_s.most, 9);
  EXPECT_TRUE(summary.errors.empty());
  ASSERT_EQ(summary.beside.size(), 2u);
  const BesideSummary &before = summary.beside[0], &among = summary.beside[1];
  EXPECT_EQ(before.turns, 1);
  EXPECT_DOUBLE_EQ(before.first_token_s.most, 1);
  EXPECT_DOUBLE_EQ(before.gap_s.most, 2) << "the third piece came at 5 s, the fourth at 13 s";
  EXPECT_EQ(among.turns, 2) << "what was sent after the last end is in neither";
  EXPECT_DOUBLE_EQ(among.first_token_s.most, 3);
  EXPECT_DOUBLE_EQ(among.gap_s.most, 8);
  EXPECT_EQ(among.errors.at("http 429"), 1);
  EXPECT_NE(load_json(summary, {never, never}).find("\"beside_among\""), std::string::npos);
  run.turns.resize(2);
  EXPECT_TRUE(summary_of(run, {never, never}).beside.empty());
}

TEST(LoadTarget, ReadsURLs) {
  const LoadTarget target = parse_target("http://example:8000/v1/");
  EXPECT_EQ(target.host + "|" + target.port + "|" + target.prefix, "example|8000|/v1");
  EXPECT_EQ(parse_target("http://[::1]:81").host, "::1");
  EXPECT_EQ(parse_target("http://[::1]").port, "80");
  for (const char* bad : {"https://x/v1", "x:80", "http://", "http://:80/v1", "http://x:/v1", "http://x/a b"})
    EXPECT_THROW(parse_target(bad), Error) << bad;
}

}  // namespace
}  // namespace uhd
