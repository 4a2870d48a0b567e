#include <boost/json.hpp>

#include "net/image_json.h"
#include "net/openai.h"

namespace uhd {
namespace {

namespace json = boost::json;

std::string_view name_of(ImageDetail detail) {
  switch (detail) {
    case ImageDetail::low:
      return "low";
    case ImageDetail::high:
      return "high";
    default:
      return "auto";
  }
}

json::object piece_json(const PiecePlan& piece) {
  return {
      {"width", piece.width}, {"height", piece.height}, {"patches", piece.patches}, {"tokens", piece.tokens}};
}

json::object plan_of(const ImagePlan& plan) {
  json::object image = image_json(plan.report);
  image["visual_tokens"] = plan.visual_tokens;
  image["scale"] = json::array{plan.scale_across, plan.scale_down};
  image["slice"] = plan.report.slices > 0 ? json::value(piece_json(plan.slice)) : json::value(nullptr);
  image["overview"] = piece_json(plan.overview);
  return image;
}

// The error is the one that the call itself would get.
json::object admission_json(const std::optional<ApiError>& refusal) {
  if (!refusal) return {{"admitted", true}};
  json::object admission{{"admitted", false}, {"status", refusal->status}};
  admission["error"] = json::parse(error_json(*refusal)).at("error");
  return admission;
}

json::value predicted_json(const RequestPlan& plan) {
  if (!plan.predicted) return nullptr;
  const StageSeconds& seconds = *plan.predicted;
  return json::object{{"encode", seconds.encode},
                      {"prefill", seconds.prefill},
                      {"decode", seconds.decode},
                      {"queued", plan.queued_seconds}};
}

json::value cached_json(const std::optional<CachedParts>& cached) {
  if (!cached) return nullptr;
  return json::object{{"tokens", cached->tokens}, {"slices", cached->slices}};
}

}  // namespace

json::object image_json(const ImageReport& report) {
  return {{"width", report.width},
          {"height", report.height},
          {"detail", name_of(report.detail)},
          {"max_slices", report.max_slices},
          {"grid", json::array{report.columns, report.rows}},
          {"slices", report.slices},
          {"tokens", report.tokens}};
}

std::string plan_json(const RequestPlan& plan, const ModelInfo& model, const std::optional<RequestCost>& cost,
                      const std::optional<ApiError>& refusal) {
  json::array images;
  for (const ImagePlan& image : plan.images) images.push_back(plan_of(image));
  json::object body{{"object", "plan"},
                    {"model", model.id},
                    {"images", std::move(images)},
                    {"prompt_tokens", plan.prompt_tokens},
                    {"image_tokens", plan.image_tokens},
                    {"max_tokens", plan.max_tokens},
                    {"n", plan.answers},
                    {"kv_pages", json::object{{"page_size", plan.page_size},
                                              {"prompt", plan.prompt_pages},
                                              {"with_answer", plan.most_pages}}},
                    {"flops", nullptr},
                    {"predicted_seconds", predicted_json(plan)},
                    {"cached", cached_json(plan.cached)},
                    {"admission", admission_json(refusal)}};
  if (cost) body["flops"] = json::object{{"encode", cost->encode_flops}, {"prefill", cost->prefill_flops}};
  return json::serialize(body);
}

}  // namespace uhd
