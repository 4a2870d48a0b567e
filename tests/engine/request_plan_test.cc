// A plan says what a run then reports, for every family, and it takes nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <thread>

#include "engine/launch/model_files.h"
#include "engine/leader/intake.h"
#include "model/vision/png_writer.h"
#include "tests/engine/engine_fixture.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

struct Subject {
  std::filesystem::path model;
  std::filesystem::path vision_tower;
};
void PrintTo(const Subject& subject, std::ostream* out) { *out << subject.model.filename().string(); }

// One checkpoint of each way to cut an image and to lay it out.
std::vector<Subject> subjects() {
  std::map<std::string, Subject> found;
  for (const GoldenCase& c : golden_cases(true)) {
    found[c.model.filename().string()] = {c.model, c.vision_tower};
  }
  std::vector<Subject> list;
  for (const auto& [name, subject] : found) list.push_back(subject);
  return list;
}

EngineOptions options_of(const Subject& subject) {
  EngineOptions options = tiny_options(subject.model);
  options.vision_tower = subject.vision_tower;
  return options;
}

MessagePart size_part(int64_t width, int64_t height, ImageRule rule = {}) {
  MessagePart part;
  part.size = ImageSize{width, height};
  part.rule = rule;
  return part;
}

// The picture itself, of one colour.
MessagePart file_part(const MessagePart& sized) {
  Image image{static_cast<int>(sized.size->width), static_cast<int>(sized.size->height), {}};
  image.pixels.assign(size_t{3} * image.width * image.height, static_cast<uint8_t>(image.width));
  MessagePart part;
  part.image = std::make_shared<const std::string>(encode_png(image));
  part.rule = sized.rule;
  return part;
}

Request about(std::vector<MessagePart> images, int max_tokens = 1) {
  Request request;
  request.messages.push_back({"user", std::move(images)});
  MessagePart text;
  text.text = "What is this?";
  request.messages.back().parts.push_back(text);
  request.sampling.temperature = 0;
  request.stop.max_tokens = max_tokens;
  request.stop.ignore_eos = true;
  return request;
}

Request with_files(Request request) {
  for (MessagePart& part : request.messages.back().parts) {
    if (part.size) part = file_part(part);
  }
  return request;
}

// Sides of `least` to `most` pixels, as often small as large, and rules of every kind.
class Sizes {
 public:
  Sizes(int least, int most) : sides_(std::log(least), std::log(most + 1)) {}
  MessagePart next() {
    const ImageDetail details[] = {ImageDetail::automatic, ImageDetail::automatic, ImageDetail::high,
                                   ImageDetail::low};
    const int caps[] = {0, 0, 1, 2, 3, 5, 1 << 30};
    return size_part(side(), side(), {details[random_() % 4], caps[random_() % 7]});
  }

 private:
  int64_t side() { return static_cast<int64_t>(std::exp(sides_(random_))); }
  std::mt19937 random_{7};
  std::uniform_real_distribution<double> sides_;
};

RequestPlan planned(const Engine& engine, const Request& request) {
  const auto plan = engine.plan(request);
  if (const auto* failure = std::get_if<Failure>(&plan)) ADD_FAILURE() << failure->message;
  return std::holds_alternative<RequestPlan>(plan) ? std::get<RequestPlan>(plan) : RequestPlan{};
}

void expect_equal(const ImageReport& plan, const ImageReport& run) {
  EXPECT_EQ(plan.width, run.width);
  EXPECT_EQ(plan.height, run.height);
  EXPECT_EQ(plan.columns, run.columns);
  EXPECT_EQ(plan.rows, run.rows);
  EXPECT_EQ(plan.slices, run.slices);
  EXPECT_EQ(plan.tokens, run.tokens);
  EXPECT_EQ(plan.detail, run.detail);
  EXPECT_EQ(plan.max_slices, run.max_slices);
}

TEST(RequestPlan, VariablesOfARequestReachTheChatTemplate) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  const TemporaryDirectory directory;
  directory.write("config.json", R"({"model_type":"llama"})");
  directory.write(
      "tokenizer_config.json",
      R"({"chat_template":"{{ messages[0]['content'] }}{% if loud is defined and loud %} now{% endif %}"})");
  const auto tokenizer = load_tokenizer(c.model);
  const Intake intake(open_model(tiny_options(c.model)).config, tokenizer,
                      load_chat_template(directory.path()), {}, true, {1 << 20, 1 << 20});
  Request request;
  request.messages = {{"user", {{.text = "Look"}}}};
  const auto ids_of = [&](const std::string& variables) {
    request.template_variables = variables;
    return std::get<PlannedRequest>(intake.plan(request)).prompt.ids;
  };
  EXPECT_EQ(ids_of(""), tokenizer->encode("Look", true, false));
  EXPECT_EQ(ids_of(R"({"loud":false})"), ids_of(""));
  EXPECT_NE(ids_of(R"({"loud":true})"), ids_of(""));
  for (const char* wrong : {R"({"quiet":true})", R"({"messages":[]})", "[]", "{"}) {
    request.template_variables = wrong;
    EXPECT_EQ(std::get<Failure>(intake.plan(request)).code, "invalid_conversation") << wrong;
  }
}

// Pieces are cut to the sizes of which the plan tells.
void expect_cut_so(const ImagePlan& plan, const SlicePlan& cut, const SlicingConfig& config) {
  Image blank{plan.report.width, plan.report.height, {}};
  blank.pixels.resize(size_t{3} * blank.width * blank.height);
  const std::vector<Slice> pieces = cut_slices(blank, cut, config, "");
  ASSERT_EQ(static_cast<int>(pieces.size()), plan.report.slices + 1);
  for (size_t i = 0; i < pieces.size(); ++i) {
    const PiecePlan& piece = static_cast<int>(i) < plan.report.slices ? plan.slice : plan.overview;
    EXPECT_EQ(pieces[i].width, piece.width);
    EXPECT_EQ(pieces[i].height, piece.height);
    EXPECT_EQ(patches_of({pieces[i].width, pieces[i].height}, config.patch), piece.patches);
  }
}

class RequestPlanOf : public testing::TestWithParam<Subject> {};

TEST_P(RequestPlanOf, ManySizesIsThePromptThatWouldRun) {
  const ModelConfig model = open_model(options_of(GetParam())).config;
  ImageOptions images;
  images.limits.max_pixels = int64_t{1} << 40;
  const Intake intake(model, load_tokenizer(GetParam().model), load_chat_template(GetParam().model), images,
                      true, {1 << 20, 1 << 20});
  const bool adaptive =
      model.slicing.kind == SlicingConfig::Kind::adaptive || model.slicing.kind == SlicingConfig::Kind::tiles;
  Sizes sizes(8, 6000);
  int sliced = 0, small = 0;
  for (int i = 0; i < 2000; ++i) {
    const MessagePart image = sizes.next();
    SCOPED_TRACE(message(image.size->width, "x", image.size->height, ", at most ", image.rule.max_slices));
    const auto answer = intake.lay_out(about({image}));
    if (const auto* failure = std::get_if<Failure>(&answer)) {
      EXPECT_TRUE(failure->code == "image_aspect" || failure->code == "image_invalid") << failure->message;
      continue;
    }
    const auto& laid_out = std::get<PlannedRequest>(answer);
    const RequestPlan plan = intake.describe(laid_out, 16);
    const ImagePlan& cut = plan.images.at(0);
    EXPECT_EQ(plan.prompt_tokens, static_cast<int>(laid_out.prompt.ids.size()));
    EXPECT_EQ(plan.image_tokens, cut.report.tokens);
    ASSERT_EQ(static_cast<int>(laid_out.prompt.spans.size()), cut.report.slices + 1);
    int rows = 0;
    for (const VisualSpan& span : laid_out.prompt.spans) {
      EXPECT_EQ(span.length, (span.piece < cut.report.slices ? cut.slice : cut.overview).tokens);
      rows += span.length;
    }
    EXPECT_EQ(cut.visual_tokens, rows);
    EXPECT_GE(cut.report.tokens, rows);
    EXPECT_EQ(plan.prompt_pages, (plan.prompt_tokens + 15) / 16);
    EXPECT_EQ(plan.most_pages, (plan.prompt_tokens + 1 + 15) / 16);
    if (image.size->width * image.size->height < 1 << 15 && ++small % 4 == 0) {
      expect_cut_so(cut, laid_out.images.at(0).plan, model.slicing);
    }
    if (!adaptive) {
      EXPECT_EQ(cut.report.slices, 0);
      continue;
    }
    sliced += cut.report.slices > 0;
    EXPECT_LE(cut.report.slices, cut.report.max_slices);
    EXPECT_LE(cut.report.max_slices, model.slicing.max_slices);
    if (image.rule.max_slices > 0) {
      EXPECT_LE(cut.report.slices, image.rule.max_slices);
    }
    if (image.rule.detail == ImageDetail::low || image.rule.max_slices == 1) {
      EXPECT_EQ(cut.report.slices, 0);
    }
    EXPECT_GT(cut.scale_across, 0);
    EXPECT_GT(cut.scale_down, 0);
  }
  EXPECT_EQ(sliced > 300, adaptive) << "the sizes were meant to be cut";
  EXPECT_GT(small, 400);
}

TEST_P(RequestPlanOf, SomeSizesIsWhatARunReports) {
  EngineOptions options = options_of(GetParam());
  options.kv_memory_bytes = 64 << 20;
  const auto engine = make_engine(options, ranks(1, 0));
  Sizes sizes(20, 700);
  int answered = 0;
  for (int i = 0; i < 12; ++i) {
    std::vector<MessagePart> images{sizes.next()};
    if (i % 3 == 0) images.push_back(sizes.next());
    const Request sized = about(std::move(images));
    const Request request = with_files(sized);
    const auto answer = engine->plan(sized);
    const Submitted run = submit(*engine, request);
    if (const auto* failure = std::get_if<Failure>(&answer)) {
      EXPECT_EQ(run.refused.code, failure->code);
      EXPECT_EQ(run.refused.message, failure->message);
      continue;
    }
    const auto& plan = std::get<RequestPlan>(answer);
    if (plan.refusal) {
      EXPECT_EQ(run.refused.code, plan.refusal->code);
      EXPECT_EQ(run.refused.message, plan.refusal->message);
      continue;
    }
    const Usage& usage = run.answer->wait().usage;
    EXPECT_EQ(run.answer->finish, FinishReason::length) << run.answer->failure.message;
    EXPECT_EQ(plan.prompt_tokens, usage.prompt_tokens);
    EXPECT_EQ(plan.image_tokens, usage.image_tokens);
    EXPECT_EQ(plan.max_tokens, run.accepted.max_tokens);
    const RequestPlan of_files = planned(*engine, request);
    ASSERT_EQ(plan.images.size(), usage.images.size());
    ASSERT_EQ(plan.images.size(), of_files.images.size());
    for (size_t k = 0; k < usage.images.size(); ++k) {
      expect_equal(plan.images[k].report, usage.images[k]);
      expect_equal(of_files.images[k].report, usage.images[k]);
    }
    ++answered;
  }
  EXPECT_GE(answered, 6);
}

TEST_P(RequestPlanOf, FewerSlicesIsTheAnswerOfAServerThatAllowsNoMore) {
  const Request whole = with_files(about({size_part(500, 680)}, 8));
  const auto engine = make_engine(options_of(GetParam()), ranks(1, 0));
  for (const int most : {1, 2}) {
    EngineOptions options = options_of(GetParam());
    options.image.max_slices = most;
    const auto frugal = make_engine(options, ranks(1, 0));
    const std::vector<int32_t> expected = submit(*frugal, whole).answer->wait().ids;
    Request fewer = whole;
    fewer.messages[0].parts[0].rule.max_slices = most;
    EXPECT_EQ(submit(*engine, fewer).answer->wait().ids, expected);
    if (most == 1) {
      fewer.messages[0].parts[0].rule = {ImageDetail::low, 0};
      EXPECT_EQ(submit(*engine, fewer).answer->wait().ids, expected);
    }
    // Nobody gets more than the server allows.
    fewer.messages[0].parts[0].rule = {ImageDetail::high, 9};
    EXPECT_EQ(submit(*frugal, fewer).answer->wait().ids, expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, RequestPlanOf, testing::ValuesIn(subjects()), [](const auto& subject) {
  std::string name = subject.param.model.filename().string();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(RequestPlan, TakesNoPlaceNoMemoryAndNoPage) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_2slices");
  EngineOptions options = tiny_options(c.model);
  options.max_running = 1;
  options.max_waiting = 1;
  options.request_memory_bytes = 1;  // one request at a time, as long as nobody holds anything
  const auto engine = make_engine(options, ranks(1, 0));
  submit(*engine, c.request).answer->wait();
  ASSERT_TRUE(becomes_idle(*engine));
  // A request lets its memory go just after its place.
  while (planned(*engine, c.request).refusal) std::this_thread::yield();
  const EngineStats before = engine->stats();
  const double accepted = metric(*engine, "uhd_requests_accepted_total");
  for (int i = 0; i < 200; ++i) EXPECT_FALSE(planned(*engine, c.request).refusal);
  EXPECT_TRUE(engine->idle());
  EXPECT_EQ(engine->stats().free_pages, before.free_pages);
  EXPECT_EQ(engine->stats().waiting, 0);
  EXPECT_EQ(metric(*engine, "uhd_requests_accepted_total"), accepted);
  EXPECT_EQ(submit(*engine, c.request).answer->wait().ids, c.ids) << "the memory was free";
}

// The plan of a request that would be refused gives the refusal that the request gets.
void expect_refused_alike(Engine& engine, const Request& request, const std::string& code) {
  const RequestPlan plan = planned(engine, request);
  ASSERT_TRUE(plan.refusal);
  const Failure refused = submit(engine, request).refused;
  EXPECT_EQ(plan.refusal->code, code);
  EXPECT_EQ(plan.refusal->code, refused.code);
  EXPECT_EQ(plan.refusal->kind, refused.kind);
  EXPECT_EQ(plan.refusal->message, refused.message);
}

TEST(RequestPlan, SaysWhyTheRequestWouldBeRefusedNow) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  EngineOptions options = tiny_options(c.model);
  options.max_running = 1;
  options.max_waiting = 1;
  options.context_length = 1000;
  const auto engine = make_engine(options, ranks(1, 0));
  Request many = about({size_part(300, 300)});
  many.n = 3;
  EXPECT_EQ(planned(*engine, many).refusal->code, "too_many_answers");
  expect_refused_alike(*engine, with_files(about({size_part(672, 1008)})), "context_length_exceeded");
  Request long_one = c.request;
  long_one.stop.max_tokens = 400;
  const Submitted first = submit(*engine, long_one);
  const Submitted second = submit(*engine, long_one);
  expect_refused_alike(*engine, c.request, "queue_full");
  engine->cancel(first.id);
  engine->cancel(second.id);
  engine->drain();
  expect_refused_alike(*engine, c.request, "draining");
}

TEST(RequestPlan, ASizeIsPlannedAndNeverRun) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_2slices");
  EngineOptions options = tiny_options(c.model);
  options.image.max_images = 2;
  const auto engine = make_engine(options, ranks(1, 0));
  const auto code_of = [&](std::vector<MessagePart> images) {
    const auto plan = engine->plan(about(std::move(images)));
    const auto* failure = std::get_if<Failure>(&plan);
    return failure != nullptr ? failure->code : std::string();
  };
  EXPECT_EQ(submit(*engine, about({size_part(300, 300)})).refused.kind, FailureKind::invalid);
  EXPECT_EQ(code_of({size_part(300, 300)}), "");
  EXPECT_EQ(code_of({size_part(0, 300)}), "image_invalid");
  EXPECT_EQ(code_of({size_part(-1, -1)}), "image_invalid");
  EXPECT_EQ(code_of({size_part(int64_t{1} << 62, int64_t{1} << 62)}), "image_too_large");
  EXPECT_EQ(code_of({size_part(10, 5000)}), "image_aspect");
  EXPECT_EQ(std::get<Failure>(engine->plan(about({size_part(30, 30), size_part(10, 5000)}))).image, 1);
  EXPECT_EQ(code_of({size_part(30, 30), size_part(30, 30), size_part(30, 30)}), "too_many_images");
  EXPECT_EQ(code_of({size_part(30, 30, {ImageDetail::automatic, -1})}), "invalid_value");
  EXPECT_TRUE(becomes_idle(*engine));
}

}  // namespace
}  // namespace uhd
