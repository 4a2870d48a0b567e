#include "app/plan_report.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstdio>
#include <functional>
#include <sstream>

namespace uhd {
namespace {

namespace json = boost::json;

constexpr const char* kNotMeasured =
    "Roofs from the makers' data sheets: no device can beat one of them, and nothing was measured.";
constexpr const char* kSomeMeasured =
    "Roofs from the makers' data sheets, which no device can beat; of devices that were measured, expected "
    "times.";
constexpr int kLabel = 42, kCell = 12;

std::string number(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}
// Small models on large devices: with two digits they would be zero.
std::string figure(double value) { return number(value, value < 0.1 ? 4 : 2); }
std::string gigabytes(int64_t bytes) { return figure(static_cast<double>(bytes) / 1e9); }
std::string milliseconds(double seconds) { return figure(seconds * 1e3); }

// One line of a table: a label, and a cell for each number of ranks.
using Cell = std::function<std::string(const RankPlan&)>;
void add_line(std::ostringstream& text, const DevicePlan& plan, const std::string& label, const Cell& cell) {
  text << "  " << label << std::string(std::max<size_t>(kLabel, label.size() + 1) - label.size(), ' ');
  for (const RankPlan& ranks : plan.ranks) {
    const std::string content = cell(ranks);
    text << std::string(std::max<size_t>(kCell, content.size() + 1) - content.size(), ' ') << content;
  }
  text << '\n';
}

// Adds the same line, with dashes if the model does not fit.
void add_speed(std::ostringstream& text, const DevicePlan& plan, const std::string& label, const Cell& cell) {
  add_line(text, plan, label, [&](const RankPlan& r) { return r.sequences > 0 ? cell(r) : "-"; });
}

void add_memory(std::ostringstream& text, const DevicePlan& plan, const PlanReport& report) {
  const bool encodes = report.model.vision && !report.question.separate_encoders;
  const auto line = [&](const std::string& label, const Cell& cell) { add_line(text, plan, label, cell); };
  line("GB of a rank: weights", [](const RankPlan& r) { return gigabytes(r.memory.weights); });
  if (encodes) {
    line("  vision tower and resampler", [](const RankPlan& r) { return gigabytes(r.tower.weights); });
    line("  a pass of theirs", [](const RankPlan& r) { return gigabytes(r.tower.pass); });
  }
  line(message("  steps of ", report.question.engine.token_budget, " rows"),
       [](const RankPlan& r) { return gigabytes(r.memory.steps); });
  if (report.model.vision)
    line("  visual rows", [](const RankPlan& r) { return gigabytes(r.memory.visual_rows); });
  const std::string share =
      plan.device.host ? "a third" : number(report.question.engine.kv_memory_share * 100, 0) + " %";
  line(message("  KV pages, ", share, " of what is left"),
       [](const RankPlan& r) { return gigabytes(r.kv_bytes); });
  line("tokens they hold", [](const RankPlan& r) { return std::to_string(r.kv_tokens); });
  line(message("sequences of ", report.question.context, " tokens"),
       [](const RankPlan& r) { return r.sequences > 0 ? std::to_string(r.sequences) : "does not fit"; });
  const bool missing =
      std::any_of(plan.ranks.begin(), plan.ranks.end(), [](const RankPlan& r) { return r.sequences == 0; });
  if (!missing) return;
  line("  missing of one sequence, GB",
       [](const RankPlan& r) { return r.sequences > 0 ? "" : gigabytes(r.missing_bytes); });
}

void add_decoding(std::ostringstream& text, const DevicePlan& plan, int64_t context) {
  for (const size_t at : {0, 1, 2}) {
    for (const bool rate : {false, true}) {
      const int64_t sequences = std::vector<int64_t>{1, 8, 32}[at];
      const std::string what = message(rate ? "  tokens/s" : "decode, ms a token: ");
      add_speed(text, plan, rate ? what : message(what, sequences, " x ", context), [&](const RankPlan& r) {
        const DecodeRoof& roof = r.decode[at];
        if (!roof.fits) return std::string("-");
        return rate ? number(roof.tokens_per_s, 0) : milliseconds(roof.seconds);
      });
    }
  }
  const auto largest = [](const RankPlan& r) {
    return *std::find_if(r.decode.begin(), r.decode.end(),
                         [&](const DecodeRoof& roof) { return roof.sequences == r.sequences; });
  };
  add_speed(text, plan, message("decode, ms a token: the most x ", context),
            [&](const RankPlan& r) { return milliseconds(largest(r).seconds); });
  add_speed(text, plan, "  tokens/s", [&](const RankPlan& r) { return number(largest(r).tokens_per_s, 0); });
}

void add_requests(std::ostringstream& text, const DevicePlan& plan, const PlanReport& report) {
  const bool sees = report.model.vision.has_value();
  const auto line = [&](const std::string& label, const Cell& cell) { add_speed(text, plan, label, cell); };
  if (sees)
    line("encode the picture on one device, ms", [](const RankPlan& r) { return milliseconds(r.encode_s); });
  line(message("prefill of ", report.request.prompt_rows, " rows, ms"),
       [](const RankPlan& r) { return milliseconds(r.prefill_s); });
  line("least time to the first token, ms", [](const RankPlan& r) { return milliseconds(r.first_token_s); });
  line("requests at once, when as many as fit",
       [](const RankPlan& r) { return r.serving > 0 ? std::to_string(r.serving) : "-"; });
  line("  requests/s of the LLM ranks then",
       [](const RankPlan& r) { return r.serving > 0 ? number(r.requests_per_s, 2) : "-"; });
  if (sees)
    line("  encoder ranks that keep up (busy)", [](const RankPlan& r) {
      if (r.serving == 0) return std::string("-");
      const double busy = r.encode_s * r.requests_per_s / r.encoders;
      return message(r.encoders, " (", number(busy * 100, 0), " %)");
    });
  line("engine.token_budget",
       [](const RankPlan& r) { return r.token_budget > 0 ? std::to_string(r.token_budget) : "no advice"; });
  line("  rows of prompts beside a decode step",
       [](const RankPlan& r) { return message(r.hidden_rows, " by ", r.hidden_beside); });
  line("  make it slower by", [](const RankPlan& r) { return number(r.hidden_slowdown * 100, 0) + " %"; });
}

const char* note_of(const PlanReport& report) {
  const bool measured = std::any_of(report.devices.begin(), report.devices.end(),
                                    [](const DevicePlan& plan) { return plan.device.measured; });
  return measured ? kSomeMeasured : kNotMeasured;
}

std::string picture_text(const PlanReport& report) {
  if (!report.model.vision) return "no picture, ";
  const RequestShape& request = report.request;
  int64_t patches = 0;
  for (const int n : request.patches) patches += n;
  return message("a picture of ", report.question.picture.width, "x", report.question.picture.height,
                 " pixels: ", request.patches.size(), request.patches.size() == 1 ? " piece, " : " pieces, ",
                 patches, " patches\n         ", request.visual_tokens, " visual tokens, ",
                 request.layout_tokens, " of the layout, ");
}

json::object object_of(const RankPlan& plan) {
  json::array decode;
  for (const DecodeRoof& roof : plan.decode) {
    decode.push_back(json::object{{"sequences", roof.sequences},
                                  {"fits", roof.fits},
                                  {"ms", roof.seconds * 1e3},
                                  {"tokens_per_s", roof.tokens_per_s}});
  }
  json::object object{{"ranks", plan.ranks},
                      {"fits", plan.sequences > 0},
                      {"missing_bytes", plan.missing_bytes},
                      {"weight_bytes", plan.memory.weights},
                      {"tower_bytes", plan.tower.weights},
                      {"tower_pass_bytes", plan.tower.pass},
                      {"step_bytes", plan.memory.steps},
                      {"visual_row_bytes", plan.memory.visual_rows},
                      {"kv_bytes", plan.kv_bytes},
                      {"kv_tokens", plan.kv_tokens},
                      {"sequences", plan.sequences}};
  if (plan.sequences == 0) return object;
  object["decode"] = std::move(decode);
  object["encode_ms"] = plan.encode_s * 1e3;
  object["prefill_ms"] = plan.prefill_s * 1e3;
  object["first_token_ms"] = plan.first_token_s * 1e3;
  object["requests_at_once"] = plan.serving;
  object["requests_per_s"] = plan.requests_per_s;
  object["encoder_ranks"] = plan.encoders;
  object["token_budget"] = plan.token_budget > 0 ? json::value(plan.token_budget) : json::value(nullptr);
  object["hidden_rows"] = plan.hidden_rows;
  object["hidden_beside"] = plan.hidden_beside;
  object["hidden_slowdown"] = plan.hidden_slowdown;
  return object;
}

json::object object_of(const DevicePlan& plan) {
  json::array ranks;
  for (const RankPlan& r : plan.ranks) ranks.push_back(object_of(r));
  const DeviceRoof& d = plan.device;
  const int fewest = plan.fewest_ranks();
  return {{"device", d.name},
          {"measured", d.measured},
          {"bf16_tflops", d.bf16_flops / 1e12},
          {"memory_gb_s", d.memory_speed / 1e9},
          {"memory_gb", d.memory / 1e9},
          {"link_gb_s", d.link_speed / 1e9},
          {"multiprocessors", d.processors},
          {"fewest_ranks", fewest > 0 ? json::value(fewest) : json::value(nullptr)},
          {"ranks", std::move(ranks)}};
}

}  // namespace

int DevicePlan::fewest_ranks() const {
  const auto first =
      std::find_if(ranks.begin(), ranks.end(), [](const RankPlan& r) { return r.sequences > 0; });
  return first == ranks.end() ? 0 : first->ranks;
}

std::string report_text(const PlanReport& report) {
  const PlanQuestion& question = report.question;
  std::ostringstream text;
  text << note_of(report) << "\n\nmodel    " << report.model.directory.string() << ", weights in "
       << name_of(question.format) << '\n'
       << "request  " << picture_text(report) << question.prompt << " of text: " << report.request.prompt_rows
       << " rows to prefill; an answer of " << question.answer << " tokens\n";
  if (report.model.vision) {
    text << "tower    "
         << (question.separate_encoders ? "on ranks of its own" : "on the leader of the LLM ranks") << '\n';
  }
  for (const std::string& why : report.refused) text << "ranks    " << why << '\n';
  for (const DevicePlan& plan : report.devices) {
    const DeviceRoof& d = plan.device;
    text << '\n'
         << d.name << (d.measured ? ", measured, so that times are to be expected: " : ": ")
         << number(d.bf16_flops / 1e12, d.bf16_flops < 10e12 ? 2 : 0) << " TFLOP/s in bf16, "
         << number(d.memory_speed / 1e9, 0) << " GB/s, " << number(d.memory / 1e9, 0) << " GB, link "
         << number(d.link_speed / 1e9, 0) << " GB/s one way; ";
    const int fewest = plan.fewest_ranks();
    text << (fewest == 0 ? "fits on none of these numbers of ranks"
                         : message("fits on ", fewest, fewest == 1 ? " rank" : " ranks"))
         << '\n';
    add_line(text, plan, "LLM ranks", [](const RankPlan& r) { return std::to_string(r.ranks); });
    add_memory(text, plan, report);
    if (fewest == 0) continue;
    add_decoding(text, plan, question.context);
    add_requests(text, plan, report);
  }
  text << "\nengine.max_running is " << question.engine.max_running
       << ": raise it to run more sequences at once.\n"
          "engine.token_budget: with so many rows a step takes little longer than a decode step, which waits "
          "for weights;\n"
          "beyond them every row of a prompt slows all sequences that decode. \"no advice\" means that every "
          "row costs\n"
          "time, in moving activations or sums.\n";
  return text.str();
}

std::string report_json(const PlanReport& report) {
  const RequestShape& request = report.request;
  json::array devices;
  for (const DevicePlan& plan : report.devices) devices.push_back(object_of(plan));
  json::array refused;
  for (const std::string& why : report.refused) refused.push_back(json::value(why));
  json::object object{{"note", note_of(report)},
                      {"model", report.model.directory.string()},
                      {"format", name_of(report.question.format)},
                      {"context", report.question.context},
                      {"answer", report.question.answer},
                      {"prompt", report.question.prompt},
                      {"pieces", request.patches.size()},
                      {"patches", json::array(request.patches.begin(), request.patches.end())},
                      {"visual_tokens", request.visual_tokens},
                      {"layout_tokens", request.layout_tokens},
                      {"prompt_rows", request.prompt_rows},
                      {"separate_encoders", report.question.separate_encoders},
                      {"refused", std::move(refused)},
                      {"devices", std::move(devices)}};
  if (report.model.vision) {
    object["picture"] = {report.question.picture.width, report.question.picture.height};
  }
  return json::serialize(object);
}

}  // namespace uhd
